package xapi_test

import (
	"net/url"
	"strings"
	"testing"

	"perch/domain/oauth"
	"perch/domain/xapi"
)

// sample fills a path template with values that need escaping or look literal.
func sample(a xapi.Action, value string) (path string, params map[string]string) {
	params = map[string]string{}
	for _, part := range strings.Split(a.Path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			params[strings.TrimSuffix(name, "}")] = value
		}
	}
	path, _ = a.Fill(params)
	return path, params
}

func TestEveryActionIsFound(t *testing.T) {
	all := xapi.All()
	if len(all) != 178 {
		t.Fatalf("the catalogue has %d actions, X has 178", len(all))
	}
	for _, a := range all {
		for _, value := range []string{"12345", "a b/c?d#é%"} {
			path, want := sample(a, value)
			found, params, ok := xapi.Find(a.Method, path)
			if !ok || found.ID != a.ID {
				t.Errorf("%s %s finds %q, not %q", a.Method, path, found.ID, a.ID)
				continue
			}
			for name := range want {
				if params[name] != want[name] {
					t.Errorf("%s %s: %s is %q, not %q", a.Method, path, name, params[name], want[name])
				}
			}
		}
		if got, ok := xapi.ByID(a.ID); !ok || got.Path != a.Path {
			t.Errorf("ByID(%s) finds %q", a.ID, got.Path)
		}
	}
}

func TestLiteralsComeBeforeParameters(t *testing.T) {
	for request, want := range map[string]string{
		"DELETE /2/connections/all":           "deleteAllConnections",
		"DELETE /2/connections/abc":           "deleteConnectionsByEndpoint",
		"GET /2/users/me":                     "getUsersMe",
		"GET /2/users/by":                     "getUsersByUsernames",
		"GET /2/users/7":                      "getUsersById",
		"GET /2/media/upload":                 "getMediaUploadStatus",
		"GET /2/media/3_7":                    "getMediaByMediaKey",
		"GET /2/tweets/search/recent":         "searchPostsRecent",
		"GET /2/broadcasts/scheduled":         "listScheduledBroadcasts",
		"GET /2/broadcasts/1/chat":            "getBroadcastChat",
		"GET /2/tweets/analytics":             "getPostsAnalytics",
		"POST /2/webhooks/replay":             "createWebhookReplayJob",
		"GET /2/users/public_keys":            "getUsersPublicKeys",
		"GET /2/users/7/public_keys":          "getUsersPublicKey",
		"GET /2/users/me/public_keys":         "getUsersPublicKey", // steps back from the literal
		"GET /2/communities/search":           "searchCommunities",
		"DELETE /2/dm_events/1":               "deleteDirectMessagesEvents",
		"GET /2/dm_conversations/x/dm_events": "getDirectMessagesEventsByConversationId",
	} {
		method, path, _ := strings.Cut(request, " ")
		if a, _, ok := xapi.Find(method, path); !ok || a.ID != want {
			t.Errorf("%s finds %q, not %q", request, a.ID, want)
		}
	}
}

func TestWhatIsNoPathIsNotFound(t *testing.T) {
	for _, path := range []string{"", "/", "2/tweets", "/2", "/2/", "/2/tweets/", "//2/tweets", "/2//tweets", "/1.1/statuses", "/2/tweets/1/2/3", "/2/TWEETS", "/2/tweets/%zz"} {
		if a, _, ok := xapi.Find("GET", path); ok {
			t.Errorf("GET %q finds %s", path, a.ID)
		}
	}
	if _, _, ok := xapi.Find("PATCH", "/2/tweets"); ok {
		t.Error("PATCH /2/tweets is found")
	}
	if got := strings.Join(xapi.Methods("/2/tweets"), " "); got != "GET POST" {
		t.Errorf("methods of /2/tweets: %s", got)
	}
	if xapi.Methods("/nowhere") != nil {
		t.Error("a path that does not exist has methods")
	}
}

func TestFillLeavesNoWayOut(t *testing.T) {
	a, _ := xapi.ByID("getPostsById")
	for _, bad := range []string{"", ".", "..", "..."} {
		if path, ok := a.Fill(map[string]string{"id": bad}); ok {
			t.Errorf("%q fills to %q", bad, path)
		}
	}
	for _, v := range []string{"../../oauth2/token", "1/../2", "1?x=y", "1#x", "%2e%2e", "1;x", "1\\2", "1\r\nHost: x"} {
		path, ok := a.Fill(map[string]string{"id": v})
		if !ok {
			t.Errorf("%q does not fill", v)
			continue
		}
		u, err := url.Parse("https://x.example" + path)
		if err != nil || strings.Count(u.EscapedPath(), "/") != 3 || u.RawQuery != "" || u.Fragment != "" ||
			u.Path != "/2/tweets/"+v {
			t.Errorf("%q fills to %q", v, path)
		}
	}
}

func TestTheCatalogueIsConsistent(t *testing.T) {
	ids, places := map[string]bool{}, map[string]bool{}
	for _, a := range xapi.All() {
		place := a.Method + " " + a.Path
		if ids[a.ID] || places[place] {
			t.Errorf("%s (%s) stands twice", a.ID, place)
		}
		ids[a.ID], places[place] = true, true
		if a.Self != "" && !strings.Contains(a.Path, "{"+a.Self+"}") {
			t.Errorf("%s: no parameter {%s}", a.ID, a.Self)
		}
		if missing := oauth.Everything.Missing(a.Needs()); len(missing) > 0 {
			t.Errorf("%s needs unknown scopes %v", a.ID, missing)
		}
		if _, ok := xapi.PriceOf(a); !ok && a.Price != "" {
			t.Errorf("%s: category %q has no price", a.ID, a.Price)
		}
		if (a.Method == "GET") && (!a.Idempotent || a.Body != xapi.NoBody) {
			t.Errorf("%s: a GET is idempotent and has no body", a.ID)
		}
		for _, l := range a.Limits {
			if l.N <= 0 || l.Window <= 0 {
				t.Errorf("%s: limit %+v", a.ID, l)
			}
		}
	}
}

func TestCountsOfTheCatalogue(t *testing.T) {
	count := map[string]int{}
	for _, a := range xapi.All() {
		for name, is := range map[string]bool{
			"app only": a.Auth == xapi.AppOnly, "user only": a.Auth == xapi.User, "no OAuth 2 user": a.ByApp() && a.Auth&xapi.OAuth1 != 0 && !a.ByUser(),
			"streams": a.Stream, "files": a.Binary, "own id": a.Self != "", "201": a.Status() == 201,
			"public": a.Public(), "idempotent": a.Idempotent, "uploads": a.Body == xapi.Upload, "by user": a.ByUser(),
			"unlimited": len(a.Limits) == 0,
		} {
			if is {
				count[name]++
			}
		}
	}
	want := map[string]int{
		"app only": 39, "user only": 5, "no OAuth 2 user": 3, "streams": 15, "files": 2, "own id": 23, "201": 11,
		"public": 1, "idempotent": 149, "uploads": 3, "by user": 135, "unlimited": 67,
	}
	for name, n := range want {
		if count[name] != n {
			t.Errorf("%s: %d, want %d", name, count[name], n)
		}
	}
	if post, _ := xapi.ByID("createPosts"); true {
		if p, ok := xapi.PriceOf(post); !ok || p.Micros != 15_000 || p.WithURL != 200_000 {
			t.Errorf("price of a post: %+v", p)
		}
	}
}
