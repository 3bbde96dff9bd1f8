package habits

import (
	"debug/buildinfo"
	"debug/elf"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"paynotify/test/product"
)

// linkedModulesMax is how many modules of others the binary may carry. Each is code that can break a release
// or be taken over; a new one replaces another, or comes with its reason and this number.
const linkedModulesMax = 46

func TestBinary(t *testing.T) {
	binary := product.Build(t)
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Deps) > linkedModulesMax {
		t.Errorf("%d modules are linked, at most %d", len(info.Deps), linkedModulesMax)
		for _, m := range info.Deps {
			t.Logf("%s %s", m.Path, m.Version)
		}
	}
	if len(info.Deps) == 0 {
		t.Error("no linked module is known: the build info is missing")
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			t.Errorf("module %s is replaced by %s", m.Path, m.Replace.Path)
		}
	}
	for _, s := range info.Settings {
		if s.Key == "CGO_ENABLED" && s.Value != "0" {
			t.Errorf("built with CGO_ENABLED=%s", s.Value)
		}
	}
	if runtime.GOOS == "linux" {
		checkStatic(t, binary)
	}
}

// checkStatic looks for a program interpreter and shared libraries: a binary with either does not run in an
// empty image.
func checkStatic(t *testing.T, binary string) {
	t.Helper()
	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary is linked dynamically: it has %v", p.Type)
		}
	}
	if libraries, err := file.ImportedLibraries(); err == nil && len(libraries) > 0 {
		t.Errorf("the binary needs %v", libraries)
	}
}

// TestChroot runs the binary as the image does: nothing around it, no user database, no /tmp, no
// certificates, uid 65532, and one folder that it may write to.
func TestChroot(t *testing.T) {
	const nobody = 65532
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("chroot needs Linux and root")
	}
	root := t.TempDir()
	copyBinary(t, product.Build(t), filepath.Join(root, "paynotify"))
	data := filepath.Join(root, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o555); err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command("/paynotify", args...)
		cmd.Env, cmd.Dir = []string{"TMPDIR=/data"}, "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Chroot: root, Credential: &syscall.Credential{Uid: nobody, Gid: nobody},
		}
		return cmd
	}
	if out := product.Run(t, command("version")); !strings.HasPrefix(out, "paynotify ") {
		t.Errorf("version prints %q", out)
	}
	serve := command("serve", "--listen", "127.0.0.1:0", "--store", "sqlite:/data/paynotify.db")
	server := product.Serve(t, serve)
	for _, path := range []string{"/healthz", "/readyz"} {
		if status := get(t, server.URL+path); status != http.StatusOK {
			t.Errorf("%s answers %d\n%s", path, status, server.Output())
		}
	}
	product.Run(t, command("health", "--server", server.URL))
	if err := server.Stop(); err != nil {
		t.Errorf("after SIGTERM: %v, want exit 0\n%s", err, server.Output())
	}
	if err := command("health", "--server", server.URL).Run(); err == nil {
		t.Error("health of a stopped server exits 0")
	}
	checkOnlyData(t, root)
}

func copyBinary(t *testing.T, from, to string) {
	t.Helper()
	binary, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, binary, 0o755); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// checkOnlyData says what stands in the root that we did not put there, and that the database was made.
func checkOnlyData(t *testing.T, root string) {
	t.Helper()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "paynotify" && e.Name() != "data" {
			t.Errorf("something wrote /%s", e.Name())
		}
	}
	for name, mode := range map[string]os.FileMode{"paynotify.db": 0o077, "paynotify.db.master_key": 0o077} {
		info, err := os.Stat(filepath.Join(root, "data", name))
		switch {
		case err != nil:
			t.Error(err)
		case info.Mode().Perm()&mode != 0:
			t.Errorf("%s has mode %v: others may read it", name, info.Mode().Perm())
		}
	}
}
