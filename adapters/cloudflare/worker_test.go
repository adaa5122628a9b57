package cloudflare

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"

	"perch/domain/secret"
	"perch/ports/conformance"
	"perch/ports/conformance/workerd"
)

// A said is what the store Worker answered.
type said struct {
	status int
	header http.Header
	body   string
}

func (s said) code() int {
	var e envelope
	if json.Unmarshal([]byte(s.body), &e) != nil || len(e.Errors) == 0 {
		return 0
	}
	return e.Errors[0].Code
}

// request asks the store Worker without the client.
func request(t *testing.T, method, url, body string, headers ...string) said {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for pair := range slices.Chunk(headers, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reply.Body.Close() }()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return said{reply.StatusCode, reply.Header, string(text)}
}

func TestWhatTheStoreWorkerRefuses(t *testing.T) {
	conformance.Verified(t, workerd.Backend)
	d, k := workerd.D1(t), workerd.KV(t)
	root := d.URL + "/accounts/" + d.Account
	sql, kv := root+"/d1/database/"+d.ID, root+"/storage/kv/namespaces/"+k.ID
	bearer := "Bearer " + d.Token
	for _, c := range []struct {
		method, url, body, auth string
		status, code            int
	}{
		{"GET", kv + "/keys", "", bearer, 200, 0},
		{"GET", kv + "/keys", "", "bearer " + d.Token, 200, 0},
		{"GET", kv + "/keys", "", "", 403, 10000},
		{"GET", kv + "/keys", "", "Bearer ", 403, 10000},
		{"GET", kv + "/keys", "", "Basic " + d.Token, 403, 10000},
		{"GET", kv + "/keys", "", bearer + "x", 403, 10000},
		{"GET", kv + "/keys", "", d.Token, 403, 10000},
		{"GET", root + "/nothing", "", "", 403, 10000},
		{"GET", root + "/nothing", "", bearer, 404, 7003},
		{"GET", d.URL + "/accounts/other/storage/kv/namespaces/" + k.ID + "/keys", "", bearer, 404, 7003},
		{"GET", root + "/storage/kv/namespaces/other/keys", "", bearer, 404, 10013},
		{"GET", root + "/storage/kv/namespaces/__proto__/keys", "", bearer, 404, 10013},
		{"POST", root + "/d1/database/other/raw", "{}", bearer, 404, 7404},
		{"POST", root + "/d1/database/constructor/raw", "{}", bearer, 404, 7404},
		{"GET", sql + "/raw", "", bearer, 405, 10405},
		{"POST", sql + "/raw", "", bearer, 400, 10400},
		{"POST", sql + "/raw", "[]", bearer, 400, 7400},
		{"POST", sql + "/raw", "{}", bearer, 400, 7400},
		{"POST", sql + "/raw", `{"batch":[]}`, bearer, 400, 7400},
		{"POST", sql + "/raw", `{"batch":[{"sql":"SELECT 1"},{}]}`, bearer, 400, 7400},
		{"POST", sql + "/raw", `{"sql":"SELECT ?","params":[1]}`, bearer, 400, 7400},
		{"POST", sql + "/raw", `{"sql":"SELECT ?"}`, bearer, 400, 7500},
		{"POST", sql + "/raw", `{"sql":"BEGIN"}`, bearer, 400, 7500},
		{"POST", sql + "/raw", `{"sql":"VALUES ('a', 1)"}`, bearer, 200, 0},
		{"POST", sql + "/raw", `{"sql":"WITH x AS (SELECT 1) SELECT 1, 'a' FROM x"}`, bearer, 400, 7500},
		{"GET", kv + "/keys?limit=9", "", bearer, 400, 10400},
		{"GET", kv + "/values/none", "", bearer, 404, 10009},
		{"GET", kv + "/metadata/none", "", bearer, 404, 10009},
		{"GET", kv + "/values/", "", bearer, 400, 10400},
		{"GET", kv + "/values/%ff", "", bearer, 400, 10400},
		{"GET", kv + "/values", "", bearer, 404, 7003},
		{"POST", kv + "/values/a", "", bearer, 404, 7003},
		{"PUT", kv + "/values/" + strings.Repeat("k", 513), "v", bearer, 400, 10400},
		{"PUT", kv + "/values/a?expiration_ttl=59", "v", bearer, 400, 10400},
		{"PUT", kv + "/values/a?expiration_ttl=soon", "v", bearer, 400, 10400},
		{"PUT", kv + "/bulk", `[{"key":"a"}]`, bearer, 400, 10400},
		{"POST", kv + "/bulk/get", `{"keys":[]}`, bearer, 400, 10400},
		{"DELETE", kv + "/values/none", "", bearer, 200, 0},
	} {
		a := request(t, c.method, c.url, c.body, "Authorization", c.auth)
		if a.status != c.status || a.code() != c.code || strings.Contains(a.body, d.Token) {
			t.Errorf("%s %s %.60s: %d %.300s; want %d and code %d", c.method, c.url[len(d.URL):], c.body, a.status, a.body, c.status, c.code)
		}
	}
}

// A body that is too large is refused before it is read, so that whoever sends it
// may see a broken connection instead of the reply.
func TestTheStoreWorkerReadsNoLargeBodies(t *testing.T) {
	conformance.Verified(t, workerd.Backend)
	p := workerd.D1(t)
	c, err := NewClient(Config{URL: p.URL, Account: p.Account, Token: secret.New(p.Token)})
	if err != nil {
		t.Fatal(err)
	}
	for size, fine := range map[int]bool{8 << 20: true, 8<<20 + 1: false, 30 << 20: false} {
		body := []byte(`{"sql":"SELECT 1 AS one"}` + strings.Repeat(" ", size))[:size]
		_, err := c.Do(t.Context(), Call{Method: "POST", Path: "/d1/database/" + p.ID + "/raw", Body: body})
		refusal, _ := errors.AsType[*Error](err)
		if fine != (err == nil) || (!fine && refusal.Status != 413 && refusal.Status != 0) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestTheStoreWorkersKV(t *testing.T) {
	conformance.Verified(t, workerd.Backend)
	p := workerd.KV(t)
	root := p.URL + "/accounts/" + p.Account + "/storage/kv/namespaces/" + p.ID
	do := func(method, path, body string, headers ...string) said {
		t.Helper()
		a := request(t, method, root+path, body, append(headers, "Authorization", "Bearer "+p.Token)...)
		if a.status != 200 {
			t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
		}
		return a
	}
	do("PUT", "/values/a%2Fb%3A%C3%A9%20%3F?expiration_ttl=3600", "one")
	a := do("GET", "/values/a%2Fb%3A%C3%A9%20%3F", "")
	if a.body != "one" || a.header.Get("Expiration") == "" {
		t.Errorf("a value with an end: %q, %v", a.body, a.header)
	}
	body, kind := form(t, "two ünï", `{"m":1}`)
	do("PUT", "/values/b", body, "Content-Type", kind)
	body, kind = form(t, "no \xff text", `{"m":2}`)
	if a := request(t, "PUT", root+"/values/b", body, "Content-Type", kind, "Authorization", "Bearer "+p.Token); a.status != 400 {
		t.Errorf("a value in a form that is no text: %d %s", a.status, a.body)
	}
	if a := do("GET", "/metadata/b", ""); !strings.Contains(a.body, `"result":{"m":1}`) {
		t.Errorf("metadata: %s", a.body)
	}
	if a := do("GET", "/values/b", ""); a.body != "two ünï" || a.header.Get("Expiration") != "" {
		t.Errorf("a value without an end: %q, %v", a.body, a.header)
	}
	do("PUT", "/bulk", `[{"key":"__proto__","value":"p"},{"key":"c","value":"AP8=","base64":true,"metadata":"m","expiration_ttl":60}]`)
	if a := do("GET", "/values/c", ""); a.body != "\x00\xff" {
		t.Errorf("a value that came as base64: %q", a.body)
	}
	if a := do("POST", "/bulk/get", `{"keys":["__proto__","none"]}`); !strings.Contains(a.body, `"values":{"__proto__":"p","none":null}`) {
		t.Errorf("values: %s", a.body)
	}
	var names []string
	for cursor, pages := "", 0; ; pages++ {
		if pages == 0 {
			for i := range 12 {
				do("PUT", "/values/page"+string(rune('a'+i)), "v")
			}
		}
		a := do("GET", "/keys?prefix=page&limit=10&cursor="+cursor, "")
		var e struct {
			Result []struct{ Name string }
			Info   struct{ Cursor string } `json:"result_info"`
		}
		if err := json.Unmarshal([]byte(a.body), &e); err != nil {
			t.Fatal(err)
		}
		for _, key := range e.Result {
			names = append(names, key.Name)
		}
		if cursor = e.Info.Cursor; cursor == "" || pages > 3 {
			break
		}
	}
	if len(names) != 12 || names[0] != "pagea" || names[11] != "pagel" {
		t.Errorf("keys by pages: %q", names)
	}
	do("POST", "/bulk/delete", `["b","c","__proto__"]`)
	do("DELETE", "/values/a%2Fb%3A%C3%A9%20%3F", "")
	if a := do("GET", "/keys", ""); strings.Count(a.body, `"name"`) != 12 {
		t.Errorf("after deleting: %s", a.body)
	}
}

func form(t *testing.T, value, metadata string) (body, kind string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, value := range map[string]string{"value": value, "metadata": metadata} {
		if err := w.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}
