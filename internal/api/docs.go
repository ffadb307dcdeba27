package api

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
)

//go:embed docs
var docsFiles embed.FS

// docsPolicy lets the page load its own two files and the document, and
// nothing from elsewhere.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// routeDocs serves the document and the page. Both work without internet.
func (a *API) routeDocs() error {
	// huma names its own form of errors, which is never sent.
	for _, unused := range []string{"ErrorModel", "ErrorDetail"} {
		delete(a.huma.OpenAPI().Components.Schemas.Map(), unused)
	}
	spec, err := json.MarshalIndent(a.huma.OpenAPI(), "", "  ")
	if err != nil {
		return fmt.Errorf("api: write the OpenAPI document: %w", err)
	}
	a.spec = spec
	a.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(a.spec)
	})
	for at, file := range map[string]string{
		"/docs":          "docs/docs.html",
		"/docs/docs.css": "docs/docs.css",
		"/docs/docs.js":  "docs/docs.js",
	} {
		content, err := docsFiles.ReadFile(file)
		if err != nil {
			return fmt.Errorf("api: read %q: %w", file, err)
		}
		kind := map[string]string{".html": "text/html", ".css": "text/css", ".js": "text/javascript"}[path.Ext(file)]
		a.mux.HandleFunc("GET "+at, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind+"; charset=utf-8")
			w.Header().Set("Content-Security-Policy", docsPolicy)
			_, _ = w.Write(content)
		})
	}
	return nil
}
