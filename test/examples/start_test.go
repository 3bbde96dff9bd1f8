package examples

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"paynotify/test/product"
)

// startMax is how long a runtime may take to listen. Java compiles first.
const startMax = 30 * time.Second

// receiver is one of examples/merchant.
type receiver struct {
	name    string // its folder
	profile string
	keyIn   string // the member of the merchant's answer that it verifies with
	keyEnv  string // the variable that names the file of its key
	// command makes the command that starts it at PORT, or skips the test and says what is missing.
	command func(t *testing.T) *exec.Cmd
}

var receivers = []receiver{
	{"php", "alipay", "public_key", "PUBLIC_KEY", func(t *testing.T) *exec.Cmd {
		return command(t, "php", "-S", "127.0.0.1:0", "notify.php")
	}},
	{"php-alipay-sdk", "alipay", "public_key_base64", "PUBLIC_KEY", func(t *testing.T) *exec.Cmd {
		if os.Getenv("ALIPAY_SDK") == "" {
			product.Run(t, command(t, "php", "-l", filepath.Join(folder("php-alipay-sdk"), "notify.php")))
			t.Skip("checked by php -l alone: ALIPAY_SDK does not name the folder of aop/AopClient.php")
		}
		return command(t, "php", "-S", "127.0.0.1:0", "notify.php")
	}},
	{"go", "alipay", "public_key", "PUBLIC_KEY", func(t *testing.T) *exec.Cmd {
		binary := filepath.Join(t.TempDir(), "merchant") // "go run" would leave its child behind
		build := command(t, "go", "build", "-o", binary, ".")
		build.Dir = folder("go")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
		return command(t, binary)
	}},
	{"node", "alipay", "public_key", "PUBLIC_KEY", func(t *testing.T) *exec.Cmd {
		return command(t, "node", "merchant.mjs")
	}},
	{"java", "alipay", "public_key", "PUBLIC_KEY", func(t *testing.T) *exec.Cmd {
		return command(t, "java", "Merchant.java")
	}},
	{"python", "standard", "secret", "SECRET", func(t *testing.T) *exec.Cmd {
		return command(t, "python3", "merchant.py")
	}},
}

func command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return exec.Command(path, args...)
}

func folder(name string) string { return filepath.Join("..", "..", "examples", "merchant", name) }

// shop is a running receiver with its books.
type shop struct {
	receiver
	url    string // http://127.0.0.1:PORT
	key    string // what it verifies with
	orders string // the folder of its books
	// log is the file that it writes itself, without a pipe between: what it wrote before it answered is there
	// when the answer is.
	log string
}

const appID = "2021000000000001"

// listening is what a receiver's line about its address holds; PHP says it in its own words.
var listening = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// start runs a receiver until the end of the test. key is what it verifies with.
func start(t *testing.T, r receiver, cmd *exec.Cmd, key string) *shop {
	t.Helper()
	dir := t.TempDir()
	s := &shop{receiver: r, key: key, orders: filepath.Join(dir, "orders"), log: filepath.Join(dir, "log")}
	keyFile := filepath.Join(dir, "key")
	log, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := errors.Join(os.Mkdir(s.orders, 0o700), os.WriteFile(keyFile, []byte(key), 0o600)); err != nil {
		t.Fatal(err)
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = folder(r.name), log, log
	cmd.Env = append(os.Environ(), r.keyEnv+"="+keyFile, "APP_ID="+appID, "ORDERS="+s.orders, "PORT=0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("%s:\n%s", r.name, s.output(t))
		}
	})
	for deadline := time.Now().Add(startMax); time.Now().Before(deadline); {
		if s.url = listening.FindString(s.output(t)); s.url != "" {
			return s
		}
		select {
		case <-ended:
			t.Fatalf("%s ended before it listened:\n%s", r.name, s.output(t))
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not listen after %v:\n%s", r.name, startMax, s.output(t))
	return nil
}

func (s *shop) output(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(s.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sell enters an order of 88.88 into the books.
func (s *shop) sell(t *testing.T, order string) {
	t.Helper()
	if err := s.enter(order); err != nil {
		t.Fatal(err)
	}
}

func (s *shop) enter(order string) error {
	amount := "88.88"
	if s.profile == "standard" {
		amount = "8888"
	}
	return os.WriteFile(filepath.Join(s.orders, order), []byte(amount+"\n"), 0o600)
}

// paid tells what the books say of an order: whether it is paid, and how often it was booked.
func (s *shop) paid(t *testing.T, order string) (bool, int) {
	t.Helper()
	_, err := os.Stat(filepath.Join(s.orders, order+".paid"))
	times := regexp.MustCompile(`\bbooked\b.*\b`+regexp.QuoteMeta(order)+`\b`).FindAllString(s.output(t), -1)
	return err == nil, len(times)
}

// acked reports whether a reply is exactly the acknowledgement of the receiver's profile.
func (s *shop) acked(status int, body string) bool {
	if s.profile == "standard" {
		return status/100 == 2 && body == ""
	}
	return status == http.StatusOK && body == "success"
}

// request is one as it reached a merchant.
type request struct {
	header http.Header
	body   string
}

// post sends a request to the receiver itself, and tells whether it was acknowledged.
func (s *shop) post(t *testing.T, r request) bool {
	t.Helper()
	body := strings.NewReader(r.body)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/notify", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = r.header.Clone()
	req.Header.Del("Content-Length")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err) // also called from other goroutines
		return false
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return s.acked(resp.StatusCode, string(answer))
}

// wire stands between the sender and a receiver and keeps what it hands on. The orders that "paynotify
// certify" makes up are sold when their payment comes by, forged ones too.
type wire struct {
	*httptest.Server

	mu   sync.Mutex
	to   *shop
	seen []request
}

func tap(t *testing.T) *wire {
	t.Helper()
	w := &wire{}
	w.Server = httptest.NewServer(http.HandlerFunc(w.pass))
	t.Cleanup(w.Close)
	return w
}

var certifyOrder = regexp.MustCompile(`certify-\w+-\d+`)

func (w *wire) pass(out http.ResponseWriter, in *http.Request) {
	body, err := io.ReadAll(in.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.mu.Lock()
	to := w.to
	w.seen = append(w.seen, request{in.Header.Clone(), string(body)})
	w.mu.Unlock()
	if order := certifyOrder.Find(body); order != nil {
		if err := to.enter(string(order)); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	onward, err := http.NewRequestWithContext(in.Context(), in.Method, to.url+in.URL.RequestURI(),
		strings.NewReader(string(body)))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	onward.Header = in.Header.Clone()
	resp, err := http.DefaultTransport.RoundTrip(onward)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	out.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(out, resp.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// last is the newest request that was handed on.
func (w *wire) last(t *testing.T) request {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen) == 0 {
		t.Fatal("nothing was sent")
	}
	return w.seen[len(w.seen)-1]
}
