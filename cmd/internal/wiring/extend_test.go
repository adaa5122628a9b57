package wiring_test

import (
	"net/http"
	"net/url"
	"testing"

	"perch/adapters/xhttp/xsim"
)

// A link that one replica gives is opened at another, and what the user allows
// there is so everywhere.
func TestTwoReplicasExtendAGrantAsOne(t *testing.T) {
	lasting(t, func(t *testing.T, e environment) {
		x := xsim.New(xsim.Options{})
		h := openTwo(t, e, x)
		v := h[0].visit(t, h[0].register(t, pageA, ""))
		s := v.signIn(t, ada)
		mute := func() answer { return v.page(t, pageA, s.access, "GET", "/2/users/"+ada+"/muting", "") }
		refused := mute()
		if refused.status != http.StatusForbidden || refused.text("missing_scope") != "mute.read" {
			t.Fatalf("%d %s", refused.status, refused.body)
		}
		link, err := url.Parse(refused.text("step_up_url"))
		if err != nil {
			t.Fatal(err)
		}
		v.house = h[1]
		at := v.step(t, v.at(link)+"&state=s&redirect_uri="+url.QueryEscape(pageA+"/back"))
		q := at.Query()
		q.Set("_sim_user", ada)
		q.Set("_sim_decision", "approve")
		at.RawQuery = q.Encode()
		back := v.step(t, at.String())
		v.house = h[0]
		end := v.step(t, v.at(back))
		if end.Query().Get("state") != "s" || end.Query().Get("error") != "" || end.Host != "a.example" {
			t.Fatalf("the browser ends at %s", end)
		}
		v.house = h[1]
		s = sessionOf(t, v.refresh(t, s.refresh))
		eventually(t, "the other replica knows", func() bool { return mute().status == http.StatusOK })
		if n := len(happened(x, "token.issued")); n != 2 {
			t.Errorf("X has issued %d pairs", n)
		}
	})
}
