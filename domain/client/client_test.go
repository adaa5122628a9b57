package client_test

import (
	"net/netip"
	"strings"
	"testing"

	"perch/domain/client"
	"perch/domain/xapi"
)

func TestParseOrigin(t *testing.T) {
	good := []string{
		"https://app.example", "https://app.example:8443", "http://127.0.0.1:8090",
		"http://localhost", "http://[::1]:3000", "https://xn--bcher-kva.example",
	}
	for _, s := range good {
		if o, err := client.ParseOrigin(s); err != nil || string(o) != s {
			t.Errorf("%q is refused: %v", s, err)
		}
	}
	bad := []string{
		"", "*", "null", "app.example", "https://", "https://app.example/", "https://app.example/x",
		"https://App.example", "HTTPS://app.example", "https://app.example:443", "http://localhost:80",
		"https://app.example.", "http://app.example", "https://*.example", "https://a@app.example",
		"https://app.example?x", "https://app.example#x", "https://app.example:", "https://app.example:0",
		"https://app.example:99999", "https://app.example:08443", "https://app.example\\.evil", "javascript:alert(1)",
		"https://app.example https://b.example", "https://bücher.example", "file://x", "https://app.example\n",
	}
	for _, s := range bad {
		if o, err := client.ParseOrigin(s); err == nil {
			t.Errorf("%q is taken for the origin %q", s, o)
		}
	}
}

func TestCheckRedirectURI(t *testing.T) {
	for _, s := range []string{
		"https://app.example/cb", "https://app.example/cb?x=1", "http://127.0.0.1:8090/", "https://a.example",
		"https://10.0.0.1/cb", "https://[2001:db8::1]:8443/cb", "https://4u.example/.well-known/cb", "https://a_b.example/...", "https://3d-printer/cb",
	} {
		if err := client.CheckRedirectURI(s); err != nil {
			t.Errorf("%q is refused: %v", s, err)
		}
	}
	for _, s := range []string{
		"", "/cb", "//app.example", "https:app.example", "https://app.example/#x", "https://a@app.example/",
		"http://app.example/cb", "javascript:alert(1)", "data:text/html,x", "https://app.example/ x",
		"https://app.example\\@evil.example/", "https://app.example/é", "https://app.example/*", "https:///cb",
		"app://cb", "http://127.0.0.1.evil.example/", "https://app.example/#", "https://:443/cb", "https://]/cb",
		"https://app..example/cb", "https://app.example./cb", "https://a,b.example/cb", "https://app%252eexample/cb",
		"https://0x7f.1/cb", "https://2130706433/cb", "https://127.1/cb", "https://[::1%25lo]/cb",
		"https://app.example/a/../cb", "https://app.example/a/%2E./cb", "https://app.example/.",
		"https://app.example/cb?code=x", "https://app.example/cb?x=1&iss=y", "https://app.example/cb?st%61te=x", "https://app.example/cb?code=x;y",
	} {
		if client.CheckRedirectURI(s) == nil {
			t.Errorf("%q is taken for a redirect URI", s)
		}
	}
}

func TestPermits(t *testing.T) {
	for _, v := range []struct {
		entry string
		act   string
		want  bool
	}{
		{"everything", "createPosts", true}, {"everything", "getDirectMessagesEvents", true},
		{"read", "getUsersMe", true}, {"read", "createPosts", false}, {"read", "getDirectMessagesEvents", false},
		{"post", "createPosts", true}, {"post", "appendMediaUpload", true}, {"post", "likePost", false},
		{"post", "deletePosts", true}, {"engage", "likePost", true}, {"engage", "createPosts", false},
		{"messages", "getDirectMessagesEvents", true}, {"messages", "sendChatMessage", true},
		{"messages", "createPosts", false}, {"tag:Lists", "createLists", true}, {"tag:Lists", "createPosts", false},
		{"createPosts", "createPosts", true}, {"createPosts", "deletePosts", false}, {"", "createPosts", false},
	} {
		act, ok := xapi.ByID(v.act)
		if !ok {
			t.Fatalf("no action %s", v.act)
		}
		if got := (client.App{Actions: []string{v.entry}}).Permits(act); got != v.want {
			t.Errorf("an application allowed %q: may it %s? %v", v.entry, v.act, got)
		}
	}
	if act, _ := xapi.ByID("getUsersMe"); (client.App{}).Permits(act) {
		t.Error("an application that is allowed nothing may do something")
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	good := client.App{Name: "n", Status: client.Active, Actions: []string{"tag:Posts", "read", "getUsersMe"}}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for want, edit := range map[string]func(*client.App){
		"name":     func(a *client.App) { a.Name = " " },
		"status":   func(a *client.App) { a.Status = "sleeping" },
		"origin":   func(a *client.App) { a.Origins = []client.Origin{"*"} },
		"redirect": func(a *client.App) { a.RedirectURIs = []string{"/x"} },
		"tweets":   func(a *client.App) { a.Actions = []string{"tweets"} },
		"tag:Nope": func(a *client.App) { a.Actions = []string{"tag:Nope"} },
	} {
		a := good
		edit(&a)
		if err := a.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestNeighboursAreNamedByTheirNetwork(t *testing.T) {
	for from, want := range map[string]string{
		"192.0.2.1":               "address4:192.0.0.0/16",
		"::ffff:192.0.2.1":        "address4:192.0.0.0/16",
		"2001:db8:1:2::3":         "address6:2001:db8::/32",
		"2001:db8:ffff:ffff::%lo": "address6:2001:db8::/32",
	} {
		if got := client.Neighbours(netip.MustParseAddr(from)); got != want {
			t.Errorf("%s: %q, want %q", from, got, want)
		}
	}
	if got := client.Neighbours(netip.Addr{}); got != "" {
		t.Errorf("nobody knows the address: %q", got)
	}
}
