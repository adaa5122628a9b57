package wiring_test

import (
	"net/http"
	"net/url"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"perch/adapters/xhttp/xsim"
)

// binding makes an application whose tokens must be bound to a key, and returns
// what a client must know that binds them.
func binding(t *testing.T, h *house, origin string) (tenant, object) {
	t.Helper()
	app := h.register(t, origin, "")
	h.operator(t, http.StatusOK, "PATCH", "/admin/v1/apps/"+app.id, object{"dpop": true})
	know := npmKnows(h, app)
	know["dpop"] = true
	return app, know
}

func TestOAuthClientsFromNPMBindTheirTokensToAKeyInNode(t *testing.T) {
	needNPM(t)
	at, _ := serveX(t, xsim.New(xsim.Options{}))
	h := open(t, settings(t, environments()[0], at))
	for _, name := range []string{"oauth4webapi.mjs", "openid-client.mjs"} {
		for _, secret := range []bool{false, true} {
			t.Run(name+", secret "+strconv.FormatBool(secret), func(t *testing.T) {
				app, know := binding(t, h, pageA)
				if secret {
					know["secret_key"] = app.sk
				}
				if diff := cmp.Diff(npmJourney(know), npmProgram(t, name, know)); diff != "" {
					t.Errorf("it says (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestOAuth4WebAPIBindsItsTokensToAKeyInChromium(t *testing.T) {
	needNPM(t)
	tab := npmTab(t)
	at, _ := serveX(t, xsim.New(xsim.Options{}))
	h := open(t, settings(t, environments()[0], at))
	var know object
	url := npmPage(t, func(origin string) object {
		_, know = binding(t, h, origin)
		return know
	})
	want := append([]object{{"step": "key", "readable": false}}, npmJourney(know)...) // by no script
	if diff := cmp.Diff(want, inNPMPage(tab, t, url)); diff != "" {
		t.Errorf("the page says (-want +got):\n%s", diff)
	}
}

// An application that wants its tokens bound gets none without a proof.
func TestTokensThatMustBeBoundAreNotGivenWithoutAProof(t *testing.T) {
	h, _ := hostileHouse(t)
	for name, proofs := range map[string][]string{
		"no proof":             nil,
		"an empty proof":       {"DPoP: "},
		"a proof that is none": {"DPoP: x.y.z"},
		"a token as proof":     {"DPoP: eyJhbGciOiJub25lIn0.e30."},
	} {
		t.Run(name, func(t *testing.T) {
			app, _ := binding(t, h, pageA)
			v := h.visit(t, app)
			a := v.token(t, "/oauth/token", url.Values{
				"grant_type": {"authorization_code"}, "code": {v.code(t, ada)}, "redirect_uri": {pageA + "/back"},
				"code_verifier": {v.verifier},
			}, proofs...)
			rejected(t, a, badRequest, "invalid_dpop_proof")
		})
	}
}
