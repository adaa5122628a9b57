package wiring_test

import (
	"net/http"
	"net/url"
	"testing"

	"perch/adapters/xhttp/xsim"
	"perch/ports/conformance"
)

// proved adds a proof of the device's key to an exchange of the code.
func (v *visitor) proved(t *testing.T, d conformance.Device, code string, claims map[string]any) answer {
	t.Helper()
	return v.exchange(t, code, "DPoP: "+d.Prove(t, "POST", v.house.cfg.PublicURL+"/oauth/token", claims))
}

// bound performs an action with an access token that is bound to the device.
func (v *visitor) bound(t *testing.T, d conformance.Device, access string, claims map[string]any) answer {
	t.Helper()
	claims["ath"] = conformance.Hash(access)
	return ask(t, v.client, "GET", v.house.public+"/2/users/me", "", "Authorization: DPoP "+access,
		"DPoP: "+d.Prove(t, "GET", v.house.cfg.PublicURL+"/2/users/me", claims))
}

// A nonce of one replica is good at the other, and a proof that bought tokens at
// one buys none at the other.
func TestTwoReplicasTakeAProofOnce(t *testing.T) {
	lasting(t, func(t *testing.T, e environment) {
		h, d := openTwo(t, e, xsim.New(xsim.Options{})), conformance.NewDevice(t)
		v := h[0].visit(t, h[0].register(t, pageA, ""))
		first, second := v.code(t, ada), v.code(t, ada)
		asked := v.proved(t, d, first, nil)
		nonce := asked.header.Get("DPoP-Nonce")
		if asked.status != http.StatusBadRequest || asked.text("error") != "use_dpop_nonce" || nonce == "" {
			t.Fatalf("%d %s", asked.status, asked.body)
		}
		v.house = h[1]
		proof := d.Prove(t, "POST", h[1].cfg.PublicURL+"/oauth/token", map[string]any{"nonce": nonce})
		s := sessionOf(t, v.exchange(t, first, "DPoP: "+proof))
		v.house = h[0]
		if a := v.exchange(t, second, "DPoP: "+proof); a.status != http.StatusBadRequest || a.text("error") != "invalid_dpop_proof" {
			t.Errorf("the proof buys tokens at the other replica too: %d %s", a.status, a.body)
		}
		sessionOf(t, v.proved(t, d, second, map[string]any{"nonce": nonce})) // the code was not touched
		for _, one := range h {
			v.house = one
			want(t, http.StatusOK, v.bound(t, d, s.access, map[string]any{"nonce": nonce}))
			if a := v.page(t, pageA, s.access, "GET", "/2/users/me", ""); a.status != http.StatusUnauthorized {
				t.Errorf("as bearer: %d %s", a.status, a.body)
			}
		}
		if a := v.refresh(t, s.refresh); a.status != http.StatusBadRequest || a.text("error") != "invalid_dpop_proof" {
			t.Errorf("refreshed without the key: %d %s", a.status, a.body)
		}
		renewed := v.token(t, "/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {s.refresh}},
			"DPoP: "+d.Prove(t, "POST", v.house.cfg.PublicURL+"/oauth/token", map[string]any{"nonce": nonce}))
		sessionOf(t, renewed)
	})
}
