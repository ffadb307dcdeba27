package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"time"
)

//go:embed assets
var assets embed.FS

// files serves the scripts, styles and pictures that are compiled in, and
// nothing else of them. A browser keeps them and asks only whether they have
// changed.
type files map[string]file

type file struct {
	content []byte
	etag    string
}

func loadFiles() (files, error) {
	out := files{}
	root, err := fs.Sub(assets, "assets")
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !slices.Contains([]string{".js", ".css", ".svg"}, path.Ext(name)) {
			return err
		}
		content, err := fs.ReadFile(root, name)
		sum := sha256.Sum256(content)
		out[name] = file{content, `"` + hex.EncodeToString(sum[:12]) + `"`}
		return err
	})
	return out, err
}

func (f files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found, ok := f[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", found.etag)
	http.ServeContent(w, r, path.Base(r.URL.Path), time.Time{}, bytes.NewReader(found.content))
}
