package wiring_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"perch/adapters/xhttp/xsim"
)

// A tap listens to what Perch and X say to each other, and writes down every
// secret of it.
type tap struct {
	x       http.Handler
	arrived func(*http.Request) // called before X hears of a request; optional

	mu    sync.Mutex
	heard secrets
}

// secrets are texts nobody may find, by what they are.
type secrets map[string]string

// add takes a secret down under a name that does not show it.
func (s secrets) add(what, text string) {
	if text != "" {
		s[what+" "+xsim.Fingerprint(text)] = text
	}
}

func (p *tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.arrived != nil {
		p.arrived(r)
	}
	p.mu.Lock()
	if p.heard == nil {
		p.heard = secrets{}
	}
	_, credential, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	p.heard.add("credential at X", credential)
	if _, password, ok := r.BasicAuth(); ok {
		p.heard.add("client secret", password)
	}
	p.heard.add("code of X", r.URL.Query().Get("code"))
	p.heard.add("state at X", r.URL.Query().Get("state"))
	p.mu.Unlock()
	if !strings.HasSuffix(r.URL.Path, "oauth2/token") {
		p.x.ServeHTTP(w, r)
		return
	}
	p.overhear(w, r)
}

// overhear passes a reply of the token endpoint on and keeps its tokens.
func (p *tap) overhear(w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	p.x.ServeHTTP(rec, r)
	var got struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if json.Unmarshal(rec.Body.Bytes(), &got) == nil {
		p.mu.Lock()
		p.heard.add("access token of X", got.Access)
		p.heard.add("refresh token of X", got.Refresh)
		p.mu.Unlock()
	}
	maps.Copy(w.Header(), rec.Header())
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes()) // Perch may be gone
}

// into adds what was heard so far.
func (p *tap) into(all secrets) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.Copy(all, p.heard)
}

// papers are what a house leaves behind: its files and its log, by name.
type papers map[string][]byte

// collect reads every file below the directory, and the logs.
func collect(t *testing.T, dir string, logs ...*record) papers {
	t.Helper()
	all := papers{}
	if err := filepath.WalkDir(dir, func(path string, f fs.DirEntry, err error) error {
		if err == nil && !f.IsDir() {
			all[f.Name()], err = os.ReadFile(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a database tidies up
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, l := range logs {
		all["log"] = append(all["log"], l.bytes()...)
	}
	return all
}

// find returns which secrets are in which papers, however they are disguised,
// without showing them.
func (p papers) find(all secrets) []string {
	var found []string
	for what, text := range all {
		for _, disguise := range disguises(text) {
			for name, paper := range p {
				if bytes.Contains(paper, disguise) {
					found = append(found, what+" in "+name)
				}
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// disguises are the forms in which a text could be written down: as it is, as
// in a URL or a string of JSON, in hex, and in base64 wherever it begins in what
// was encoded.
func disguises(text string) [][]byte {
	upper := strings.ToUpper(hex.EncodeToString([]byte(text)))
	quoted, _ := json.Marshal(text) // a string always can be
	quoted = bytes.Trim(quoted, `"`)
	forms := [][]byte{
		[]byte(text), []byte(strings.ToLower(upper)), []byte(upper), []byte(url.QueryEscape(text)),
		[]byte(url.PathEscape(text)), []byte(strings.Trim(strconv.Quote(text), `"`)), quoted,
	}
	for before := range 3 {
		for _, coding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			coded := coding.EncodeToString([]byte(strings.Repeat("x", before) + text))
			// The first and the last characters depend on the neighbours.
			forms = append(forms, []byte(coded[(before*8+5)/6:len(coded)-2]))
		}
	}
	return forms
}

func TestDisguisesAreSeenThrough(t *testing.T) {
	const text = "sk_ABCDEFGHIJKLMNOPQRSTUVWXYZ?>~"
	for _, before := range []string{"", "a", "ab", "abc", "abcd"} {
		for _, after := range []string{"", "z", "yz", "xyz"} {
			whole := before + text + after
			for how, written := range map[string]string{
				"as it is": whole, "hex": hex.EncodeToString([]byte(whole)),
				"query": url.QueryEscape(whole), "path": url.PathEscape(whole), "JSON": jsonOf(t, whole),
				"base64":    base64.StdEncoding.EncodeToString([]byte(whole)),
				"base64url": base64.URLEncoding.EncodeToString([]byte(whole)),
			} {
				if len(papers{"paper": []byte(written)}.find(secrets{"it": text})) != 1 {
					t.Errorf("%q between %q and %q is not found: %s", text, before, after, how)
				}
			}
		}
	}
	if found := (papers{"paper": []byte(strings.ToLower(text))}).find(secrets{"it": text}); len(found) > 0 {
		t.Errorf("another text is taken for it: %v", found)
	}
}
