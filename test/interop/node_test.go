package interop

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// node is the server node/verify.js, whose merchants verify with Node SDKs. It is installed and started
// beside the first tests; whoever needs it waits for ready.
var node struct {
	ready   chan struct{} // closed when server or absent is set
	server  *process
	absent  error // why there is none: npm is missing, or its registry is out of reach
	install context.CancelFunc
}

// installNode copies the merchants into a folder, installs exactly the SDKs of package-lock.json and starts
// them.
func installNode(dir string) {
	ctx, cancel := context.WithTimeout(context.Background(), installMax)
	node.ready, node.install = make(chan struct{}), cancel
	go func() {
		defer close(node.ready)
		node.server, node.absent = startNode(ctx, dir)
	}()
}

func startNode(ctx context.Context, dir string) (*process, error) {
	if err := os.CopyFS(dir, os.DirFS("node")); err != nil {
		return nil, err
	}
	npm := exec.CommandContext(ctx, "npm", "ci",
		"--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return start(exec.Command("node", filepath.Join(dir, "verify.js")))
}

func stopNode() {
	node.install()
	<-node.ready
	if node.server != nil {
		node.server.stop()
	}
}

// nodeAbsent says why there are no Node SDKs.
func nodeAbsent() error {
	<-node.ready
	return node.absent
}

// nodeSDK is a merchant of node/verify.js.
func nodeSDK(name string) sdk {
	return sdk{name: "node-" + name, node: true, handler: func(t *testing.T, m known) http.HandlerFunc {
		t.Helper()
		if err := nodeAbsent(); err != nil {
			t.Skipf("no Node SDKs, install node and npm: %v", err)
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return forward(node.server.url+"/"+name, base64.StdEncoding.EncodeToString(text))
	}}
}

// forward hands a request on as it is, with what the merchant knows beside it, and hands the reply back.
func forward(url, merchant string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), r.Method, url, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		req.Header = r.Header.Clone()
		req.Header.Set("X-Interop-Merchant", merchant)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		io.Copy(w, resp.Body)
	}
}
