package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

//go:embed static
var staticFiles embed.FS

// asset is a script, a style sheet or a picture.
type asset struct {
	content []byte
	etag    string
}

// loadAssets reads all static files, by name. The scripts of others are compressed in the binary (gzip -9n),
// which makes it 50 KB smaller, and are served as they were.
func loadAssets() (map[string]asset, error) {
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		return nil, err
	}
	all := make(map[string]asset, len(entries))
	for _, e := range entries {
		content, err := staticFiles.ReadFile("static/" + e.Name())
		if err != nil {
			return nil, err
		}
		name, compressed := strings.CutSuffix(e.Name(), ".gz")
		if compressed {
			if content, err = unzipped(content); err != nil {
				return nil, fmt.Errorf("%s: %w", e.Name(), err)
			}
		}
		sum := sha256.Sum256(content)
		all[name] = asset{content, `"` + hex.EncodeToString(sum[:8]) + `"`}
	}
	return all, nil
}

func unzipped(content []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// static serves a static file. A browser asks every time and is mostly told that nothing has changed.
func (c *Console) static(w http.ResponseWriter, r *http.Request) {
	a, known := c.assets[r.PathValue("file")]
	if !known {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", a.etag)
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, r.PathValue("file"), time.Time{}, bytes.NewReader(a.content))
}
