package xhttp

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/adapters/xhttp/xsim"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/ports"
)

// box is X in a box, a gateway to it and its two X Apps.
func box(t *testing.T) (*xsim.Sim, *Gateway, map[string]ports.XApp) {
	t.Helper()
	private, open := xsim.DefaultApp(), xsim.App{ID: "9", Name: "Public", ClientID: "sim-public"}
	sim := xsim.New(xsim.Options{Apps: []xsim.App{private, open}})
	g := gateway(t, server(t, sim.ServeHTTP))
	return sim, g, map[string]ports.XApp{
		"confidential": {
			ID: "one", ClientID: private.ClientID, ClientSecret: secret.New(private.ClientSecret),
			APIKey: private.APIKey, APISecret: secret.New(private.APISecret),
		},
		"public": {ID: "two", ClientID: open.ClientID},
	}
}

const (
	back     = "https://app.example/callback"
	verifier = "a-code-verifier-of-at-least-forty-three-characters"
)

// consent walks the browser through X's page and returns the code.
func consent(t *testing.T, sim *xsim.Sim, g *Gateway, x ports.XApp) secret.Text {
	t.Helper()
	u, err := url.Parse(g.AuthorizeURL(x, ports.AuthorizeRequest{
		Redirect: back, Scopes: "offline.access tweet.read tweet.write users.read", State: "a state&=", Challenge: oauth.Challenge(verifier),
	}))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("_sim_user", sim.Users()[0].ID)
	q.Set("_sim_decision", "approve")
	u.RawQuery = q.Encode()
	res, err := g.transport.RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodGet, u.String(), nil))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	to, err := res.Location()
	if err != nil || to.Query().Get("state") != "a state&=" {
		t.Fatalf("X sent the browser to %v with status %d: %v", to, res.StatusCode, err)
	}
	return secret.New(to.Query().Get("code"))
}

func TestSignInRefreshAndRevoke(t *testing.T) {
	sim, g, apps := box(t)
	for kind, x := range apps {
		t.Run(kind, func(t *testing.T) {
			code := consent(t, sim, g, x)
			first, err := g.Exchange(t.Context(), x, code, secret.New(verifier), back)
			if err != nil {
				t.Fatal(err)
			}
			if first.Access.Empty() || first.Refresh.Empty() || first.TTL != 2*time.Hour ||
				first.Scopes != "offline.access tweet.read tweet.write users.read" {
				t.Errorf("got scopes %q for %v", first.Scopes, first.TTL)
			}
			_, err = g.Exchange(t.Context(), x, code, secret.New(verifier), back)
			if !errors.Is(err, ports.ErrRejected) || !errors.Is(err, fault.Invalid) {
				t.Errorf("a code for the second time: %v", err)
			}
			reads(t, g, first.Access, http.StatusOK)
			second, err := g.Refresh(t.Context(), x, first.Refresh)
			if err != nil || second.Refresh.Empty() || second.Refresh.Equal(first.Refresh) {
				t.Fatalf("refresh: %v", err)
			}
			reads(t, g, second.Access, http.StatusOK)
			if err := g.Revoke(t.Context(), x, second.Refresh); err != nil {
				t.Error(err)
			}
			if err := g.Revoke(t.Context(), x, secret.New("never heard of")); err != nil {
				t.Errorf("revoking what X does not know: %v", err)
			}
			_, err = g.Refresh(t.Context(), x, second.Refresh)
			if !errors.Is(err, ports.ErrRejected) || !errors.Is(err, fault.Forbidden) {
				t.Errorf("a revoked refresh token: %v", err)
			}
		})
	}
}

func reads(t *testing.T, g *Gateway, token secret.Text, want int) {
	t.Helper()
	reply, body := perform(t, g, ports.Call{Action: action(t, "getUsersMe"), Token: token})
	if reply.Status != want || !strings.HasPrefix(body, "{") || len(reply.Windows) == 0 {
		t.Errorf("status %d with %d windows", reply.Status, len(reply.Windows))
	}
}

func TestAWrongSecretIsTheXAppsFault(t *testing.T) {
	sim, g, apps := box(t)
	x := apps["confidential"]
	code := consent(t, sim, g, x)
	for _, wrong := range []secret.Text{secret.New("wrong"), {}} {
		x.ClientSecret = wrong
		_, err := g.Exchange(t.Context(), x, code, secret.New(verifier), back)
		if !errors.Is(err, fault.Upstream) || errors.Is(err, ports.ErrRejected) {
			t.Errorf("got %v", err)
		}
	}
}

func TestTroubleOfXPresentsARefreshTokenOnce(t *testing.T) {
	sim, g, apps := box(t)
	x := apps["confidential"]
	for _, m := range xsim.Kinds() {
		if m == "slow" || m == "slow_body" {
			continue
		}
		issued, err := sim.Issue(x.ClientID, sim.Users()[0].ID, []string{"offline.access", "users.read"})
		if err != nil {
			t.Fatal(err)
		}
		before := tokenCalls(sim)
		rule := xsim.Mischief{Match: "token", Kind: m}
		if m == "status" {
			rule.Status = http.StatusInternalServerError
		}
		sim.Mischief(rule)
		got, err := g.Refresh(t.Context(), x, secret.New(issued.Refresh))
		sim.ClearMischief()
		if n := tokenCalls(sim) - before; n != 1 {
			t.Errorf("%s: %d token calls", m, n)
		}
		switch {
		case m == "empty_refresh":
			if err != nil || !got.Refresh.Empty() || got.Access.Empty() {
				t.Errorf("%s: the refresh token is empty: %v, error %v", m, got.Refresh.Empty(), err)
			}
		case err == nil || errors.Is(err, ports.ErrRejected) || errors.Is(err, ports.ErrUnsent):
			t.Errorf("%s: %v", m, err)
		}
	}
}

func tokenCalls(sim *xsim.Sim) int {
	n := 0
	for _, e := range sim.Ledger() {
		if e.Type == "call" && e.Details["path"] == "/2/oauth2/token" {
			n++
		}
	}
	return n
}

func TestXInABoxSeesOneBearer(t *testing.T) {
	_, g, apps := box(t)
	token, err := g.AppToken(t.Context(), apps["confidential"])
	if err != nil || token.Reveal() != xsim.DefaultApp().Bearer {
		t.Errorf("got another bearer, error %v", err)
	}
	reply, _ := perform(t, g, ports.Call{Action: action(t, "getUsersById"), Params: map[string]string{"id": "1"}, Token: token})
	if reply.Status == http.StatusUnauthorized {
		t.Error("X does not take its own bearer")
	}
}

func TestPostThroughTheBox(t *testing.T) {
	sim, g, apps := box(t)
	issued, err := sim.Issue(apps["confidential"].ClientID, sim.Users()[0].ID, []string{"tweet.read", "tweet.write", "users.read"})
	if err != nil {
		t.Fatal(err)
	}
	c := posting(t)
	c.Token = secret.New(issued.Access)
	reply, body := perform(t, g, c)
	var made struct{ Data struct{ ID, Text string } }
	if err := json.Unmarshal([]byte(body), &made); err != nil || reply.Status != http.StatusCreated || made.Data.Text != "hi" {
		t.Errorf("status %d, %q: %v", reply.Status, body, err)
	}
}

func TestWhatTheTokenEndpointGives(t *testing.T) {
	for body, want := range map[string]struct {
		refresh string
		scopes  oauth.Scopes
		ttl     time.Duration
	}{
		`{"access_token":"a"}`: {"", "", 2 * time.Hour},
		`{"access_token":"a","refresh_token":"","expires_in":60}`:     {"", "", time.Minute},
		`{"access_token":"a","refresh_token":null,"expires_in":"60"}`: {"", "", time.Minute},
		`{"access_token":"a","refresh_token":"old","expires_in":-1}`:  {"old", "", 2 * time.Hour},
		`{"access_token":"a","refresh_token":"12","scope":"b a a"}`:   {"12", "a b", 2 * time.Hour},
		`{"access_token":"a","scope":"\"","x":{"y":[]}}`:              {"", "", 2 * time.Hour},
	} {
		g := gateway(t, server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain") // whatever it is called
			_, _ = w.Write([]byte(body))
		}))
		got, err := g.Refresh(t.Context(), public, secret.New("old"))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if d := cmp.Diff(want.refresh, got.Refresh.Reveal()); d != "" || got.Scopes != want.scopes || got.TTL != want.ttl {
			t.Errorf("%s: scopes %q, %v, refresh token (-want +got):\n%s", body, got.Scopes, got.TTL, d)
		}
	}
}

func TestHowAnXAppProvesItself(t *testing.T) {
	type proof struct {
		Path, Basic, ClientID string
		Cookies               int
		Header                []string
	}
	for kind, x := range map[string]ports.XApp{"confidential": confidential, "public": public} {
		var got proof
		g := gateway(t, server(t, func(w http.ResponseWriter, r *http.Request) {
			user, pass, _ := r.BasicAuth()
			got = proof{Path: r.URL.Path, Basic: user + ":" + pass, ClientID: r.PostFormValue("client_id"), Cookies: len(r.Cookies())}
			if r.PostFormValue("client_secret") != "" || r.URL.RawQuery != "" || r.UserAgent() != "perch/test" {
				t.Errorf("%s: X was asked %s as %s", kind, r.URL, r.UserAgent())
			}
			w.Header().Set("Set-Cookie", "guest_id=1")
			_, _ = w.Write([]byte(`{"access_token":"a"}`))
		}))
		for call, present := range presentations {
			if _, err := present(t.Context(), g, x); err != nil {
				t.Fatal(err)
			}
			want := proof{Path: "/2/oauth2/token", Basic: "client:client-secret-" + canary}
			if kind == "public" {
				want.Basic, want.ClientID = ":", "public-client"
			}
			if call == "Revoke" {
				want.Path = "/2/oauth2/revoke"
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s %s (-want +got):\n%s", kind, call, d)
			}
		}
	}
}
