package quota_test

import (
	"strings"
	"testing"
	"time"

	"perch/domain/quota"
	"perch/domain/xapi"
)

func TestRulesAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]quota.Rule{
		"app:6000/m":               {quota.Application, "", quota.Limit{Max: 6000, Window: time.Minute}},
		"key:20/s":                 {quota.Key, "", quota.Limit{Max: 20, Window: time.Second}},
		"address:1200/m":           {quota.Address, "", quota.Limit{Max: 1200, Window: time.Minute}},
		"grant/write:100/15m":      {quota.Grant, "write", quota.Limit{Max: 100, Window: 15 * time.Minute}},
		"grant/createPosts:50/d":   {quota.Grant, "createPosts", quota.Limit{Max: 50, Window: 24 * time.Hour}},
		"app/media:1000000000/31d": {quota.Application, "media", quota.Limit{Max: 1e9, Window: 31 * 24 * time.Hour}},
	} {
		r, err := quota.ParseRule(text)
		if err != nil || r != want || r.String() != text {
			t.Errorf("%s is read as %+v, written as %s: %v", text, r, r, err)
		}
	}
	if r, _ := quota.ParseRule("app:1/60s"); r.String() != "app:1/m" || r.Name() != "app/m" {
		t.Errorf("60 seconds are %s, not a minute", r)
	}
}

func TestWhatIsNoRuleIsRefusedAndSaysWhy(t *testing.T) {
	for text, want := range map[string]string{
		"": "is no limit", "app": "is no limit", "app:6000": "is no limit", "app:6000/": "is no limit",
		"app:0/m": `"app:0/m" allows 0 calls; write a number from 1 to 1000000000`, "app:-1/m": "from 1", "app:+1/m": "with no sign",
		"app:01/m": "zero before it", "app:1000000001/m": "from 1 to 1000000000", "app:0/w": "is no limit",
		"app:1/32d": "31d at most", "app:1/0s": "is no limit", "app:1/w": "is no limit",
		"app:1/m ": "is no limit", "APP:1/m": "each address, key, app or grant", "user:1/m": "each address, key, app or grant",
		":1/m": "each address, key, app or grant", "address/read:1/m": "write address:1/m", "app/:1/m": "names the actions",
		"app/writes:1/m": "names the actions", "app/tag:Posts:1/m": "is no limit",
		strings.Repeat("x", 1000): "is no limit",
		"off":                     "--limit= alone", "app:6/m, key:3/s": "give each alone", "app:6/m key:3/s": "give each alone",
	} {
		_, err := quota.ParseRule(text)
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 300 {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, v := range []struct{ text, want string }{
		{"app:1/m app:2/60s", "same window"}, {strings.Repeat("app:1/m,", 21), "more than 20"}, {"app:1/m,nonsense", "nonsense"},
	} {
		if _, err := quota.ParseRules(quota.Split(v.text)); err == nil || !strings.Contains(err.Error(), v.want) {
			t.Errorf("%q: %v", v.text, err)
		}
	}
}

func TestAnApplicationsOwnRulesStandInPlaceOfTheHouses(t *testing.T) {
	house, err := quota.ParseRules(quota.Split("app:6000/m, app:9/s\tgrant:600/m app/write:5/d"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := quota.ParseRules([]string{"app:10/h", "key:1/s"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range quota.Instead(house, own) {
		got = append(got, r.String())
	}
	if s := strings.Join(got, " "); s != "grant:600/m app/write:5/d app:10/h key:1/s" {
		t.Errorf("the rules are %s", s)
	}
}

func TestClassesCountTheirActions(t *testing.T) {
	for class, want := range map[string]string{
		"":         "createPosts getUsersMe sendChatMessage mediaUpload getMediaUploadStatus likePost",
		"write":    "createPosts mediaUpload likePost",
		"read":     "getUsersMe getMediaUploadStatus",
		"media":    "mediaUpload getMediaUploadStatus",
		"messages": "sendChatMessage", "likePost": "likePost", "engage": "likePost", "post": "createPosts mediaUpload",
	} {
		var got []string
		for _, id := range strings.Fields("createPosts getUsersMe sendChatMessage mediaUpload getMediaUploadStatus likePost") {
			act, ok := xapi.ByID(id)
			if !ok {
				t.Fatalf("no action %s", id)
			}
			if (quota.Rule{Class: class}).Counts(act) {
				got = append(got, id)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q counts %v, not %s", class, got, want)
		}
	}
}

// FuzzParseRule: what is taken for a rule has bounds, and is the same rule when
// it is written and read again.
func FuzzParseRule(f *testing.F) {
	for _, s := range []string{"app:6000/m", "grant/write:100/15m", "address:1/31d", "key/createPosts:9/90s", "app/:1/m", "a:b:c/d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := quota.ParseRule(s)
		if err != nil {
			return
		}
		again, err := quota.ParseRule(r.String())
		if err != nil || again != r || r.Max < 1 || r.Window < time.Second || r.Window > 31*24*time.Hour {
			t.Errorf("%q is %+v, then %+v: %v", s, r, again, err)
		}
		if strings.ContainsAny(r.Name(), " ,\"\\") {
			t.Errorf("the name %q does not fit into a header", r.Name())
		}
	})
}
