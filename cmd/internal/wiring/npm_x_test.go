package wiring_test

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"perch/adapters/xhttp/xsim"
)

// A client of X signs in at X's own paths, which Perch has too, and never
// learns that it is not X.
func TestAnXClientSignsInThroughPerch(t *testing.T) {
	needNPM(t)
	for _, secret := range []bool{false, true} {
		t.Run("secret "+strconv.FormatBool(secret), func(t *testing.T) {
			x := xsim.New(xsim.Options{})
			at, _ := serveX(t, x)
			h := open(t, settings(t, environments()[0], at))
			app := h.register(t, pageA, "")
			know := npmKnows(h, app)
			if secret {
				know["secret_key"] = app.sk
			}
			const text = "From a client that thinks this is X."
			want := []object{
				{"step": "back", "state": true},
				{"step": "tokens", "expires_in": 600.0, "scope": asked},
				{"step": "me", "username": "ada"},
				{"step": "post", "text": text},
				{"step": "refreshed", "rotated": true, "me": "ada"},
				{"step": "revoked", "answer": object{"revoked": true}, "me": 401.0, "refresh": "invalid_grant"},
			}
			if diff := cmp.Diff(want, npmProgram(t, "twitter-api-v2.mjs", know)); diff != "" {
				t.Errorf("it says (-want +got):\n%s", diff)
			}
			if n := len(happened(x, "post.created")); n != 1 {
				t.Errorf("X has %d posts of it, want 1", n)
			}
		})
	}
}

// X's own SDK takes Perch for X: with the access token of a session, and with a
// secret key that is bound to a grant.
func TestXsOwnSDKNeedsOnlyAnotherBaseURL(t *testing.T) {
	needNPM(t)
	x := xsim.New(xsim.Options{})
	at, _ := serveX(t, x)
	h := open(t, settings(t, environments()[0], at))
	app := h.register(t, pageA, "")
	s := h.visit(t, app).signIn(t, ada)
	bound := h.operator(t, http.StatusCreated, "POST", "/admin/v1/apps/"+app.id+"/keys", object{"kind": "secret", "grant_id": s.grant})
	for name, token := range map[string]string{"access token": s.access, "secret key": bound.text("key")} {
		t.Run(name, func(t *testing.T) {
			text := "From X's own SDK, with a " + name
			want := []object{
				{"step": "me", "username": "ada"}, {"step": "post", "text": text}, {"step": "read", "text": text},
				{"step": "like", "liked": true}, {"step": "gone", "deleted": true}, {"step": "refused", "status": "Not Found Error"},
			}
			got := npmProgram(t, "xdk.mjs", object{"issuer": h.public, "token": token, "text": text})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("it says (-want +got):\n%s", diff)
			}
		})
	}
}
