package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/secret"
)

// FuzzAdminJSON: whatever JSON the operators' interface is sent, what is stored
// afterwards passes its own checks and kept what may not change, a body that is
// refused changed nothing, and no reply tells a secret but the new key, once.
func FuzzAdminJSON(f *testing.F) {
	l := newLab(f)
	desk := &line{to: l.admin}
	f.Cleanup(desk.hangUp)
	made := 0
	keys, err := l.services.Clients.Keys(f.Context(), l.app.ID, "", 1)
	must(f, err)
	viewer := l.operator("POST", "/admin/v1/operators", `{"name":"one","role":"viewer"}`).json(f)
	calls := []string{
		"POST /admin/v1/apps", "PATCH /admin/v1/apps/" + string(l.app.ID), "POST /admin/v1/apps/" + string(l.app.ID) + "/keys",
		"POST /admin/v1/xapps", "PATCH /admin/v1/xapps/x2", "POST /admin/v1/grants/import",
		"PATCH /admin/v1/keys/" + string(keys[0].ID), "POST /admin/v1/operators", "PATCH /admin/v1/operators/" + fmt.Sprint(viewer["id"]),
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		call := calls[int(which)%len(calls)]
		if made > 20_000 && strings.HasPrefix(call, "POST") {
			t.Skip() // what is made is not deleted, and memory is finite
		}
		body = strings.NewReplacer("{app}", string(l.app.ID), "{grant}", string(l.grant)).Replace(body)
		before, err := l.services.Clients.Get(t.Context(), l.app.ID)
		must(t, err)
		a := desk.send(t, call+" HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "+adminToken+
			"\r\nContent-Type: application/json\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
		l.decent(t, a, "")
		after, err := l.services.Clients.Get(t.Context(), l.app.ID)
		must(t, err)
		if after.ID != before.ID || after.XApp != before.XApp || !after.Created.Equal(before.Created) {
			t.Errorf("%s %q changed %+v into %+v", call, body, before, after)
		}
		if a.StatusCode >= 300 {
			if after.Version != before.Version {
				t.Errorf("%s %q was refused with %d and changed the application", call, body, a.StatusCode)
			}
			if !json.Valid([]byte(a.body)) {
				t.Errorf("%s %q: %q", call, body, a.body)
			}
			return
		}
		if text := strings.TrimLeft(body, " \t\r\n"); !json.Valid([]byte(body)) || !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "null") {
			t.Errorf("%s %q is taken for JSON: %d %s", call, body, a.StatusCode, a.body)
		}
		made++
		l.sound(t, call, a, after)
	})
}

// sound fails unless what was stored is as it may be.
func (l *lab) sound(t *testing.T, call string, a answer, app client.App) {
	t.Helper()
	if err := app.Check(); err != nil {
		t.Errorf("%s stored an application that is not sound: %v", call, err)
	}
	var view map[string]any
	if err := json.Unmarshal([]byte(a.body), &view); err != nil {
		t.Fatalf("%s: %v: %s", call, err, a.body)
	}
	for name := range view {
		issued := name == "key" && strings.HasSuffix(call, "/keys") || name == "token" && call == "POST /admin/v1/operators"
		if !issued && (strings.Contains(name, "token") || strings.Contains(name, "digest") || name == "key" || name == "client_secret" ||
			name == "bearer" || name == "refresh" || name == "access") {
			t.Errorf("%s tells %s: %s", call, name, a.body)
		}
	}
	if strings.Contains(call, "/operators") && !slices.Contains([]any{"viewer", "operator", "owner"}, view["role"]) {
		t.Errorf("%s made an operator who is no known one: %s", call, a.body)
	}
	text, _ := view["key"].(string)
	if text == "" {
		return
	}
	owner, k, err := l.services.Clients.Authenticate(t.Context(), secret.New(text), netip.Addr{})
	if err != nil && view["expires_at"] == nil && view["addresses"] == nil && app.Status == client.Active || err == nil && (owner.ID != l.app.ID || string(k.ID) != view["id"]) {
		t.Errorf("the key that was issued is %+v of %s: %v", k, owner.ID, err)
	}
	if k.Kind == apikey.Publishable && (k.AppOnly || len(k.Grants) > 0) {
		t.Errorf("a publishable key may do too much: %+v", k)
	}
}

// FuzzUpload: X is sent the body that the client sent, byte for byte and under
// the same Content-Type, whole, or nothing that looks whole.
func FuzzUpload(f *testing.F) {
	l := newLab(f)
	targets := []string{"/2/media/upload", appendPath, postPath, "/2/media/metadata"}
	f.Fuzz(func(t *testing.T, which uint8, contentType string, piece uint8, body []byte) {
		if splits(contentType) {
			t.Skip()
		}
		target := targets[int(which)%len(targets)]
		head := "POST " + target + " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + l.sk + "\r\nContent-Type: " + contentType + "\r\n"
		if piece == 0 {
			head += "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + string(body)
		} else {
			head += "Transfer-Encoding: chunked\r\n\r\n" + chunked(body, int(piece))
		}
		a := l.line.send(t, head)
		l.decent(t, a, "")
		asked := l.x.take()
		if (a.StatusCode == http.StatusOK) != (len(asked) == 1) || len(asked) > 1 {
			t.Fatalf("%s: status %d %s, %d calls", target, a.StatusCode, a.body, len(asked))
		}
		if len(asked) == 0 {
			return
		}
		got := asked[0]
		if got.err != nil || got.body != string(body) || got.method != "POST" || got.target != target {
			t.Errorf("%s %q %q: X is sent %q, %v", target, contentType, body, got.body, got.err)
		}
		if sent := got.header.Get("Content-Type"); sent != strings.Trim(contentType, " \t") && sent != "application/json" && len(body) > 0 {
			t.Errorf("%s as %q is sent to X as %q", target, contentType, sent)
		}
	})
}

// chunked writes the body in chunks of n bytes.
func chunked(body []byte, n int) string {
	var b bytes.Buffer
	for len(body) > 0 {
		piece := body[:min(n, len(body))]
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(piece), piece)
		body = body[len(piece):]
	}
	return b.String() + "0\r\n\r\n"
}
