package spend_test

import (
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"perch/domain/money"
	"perch/domain/spend"
	"perch/domain/xapi"
)

func action(t testing.TB, id string) xapi.Action {
	t.Helper()
	act, ok := xapi.ByID(id)
	if !ok {
		t.Fatalf("no action %s", id)
	}
	return act
}

func TestACallIsPricedBeforeItIsSent(t *testing.T) {
	for _, v := range []struct {
		action, query, body string
		unit, most          money.Micros
	}{
		{"createPosts", "", `{"text":"hello"}`, 15_000, 15_000},
		{"createPosts", "", `{"text":"see https://a.example/x"}`, 200_000, 200_000},
		{"createPosts", "", `{"text":"see example.com"}`, 200_000, 200_000},
		{"createPosts", "", `{"text":"a","text":"see \u0065xample.com"}`, 200_000, 200_000},
		{"createPosts", "", `{"text":"broken`, 200_000, 200_000},
		{"deletePosts", "", "", 5_000, 5_000},
		{"likePost", "", `{"tweet_id":"1"}`, 15_000, 15_000},
		{"createLists", "", `{"name":"a"}`, 10_000, 10_000},
		{"createDirectMessagesConversation", "", `{}`, 15_000, 15_000},
		{"getPostsCountsRecent", "query=a", "", 5_000, 5_000},
		{"getTrendsByWoeid", "", "", 10_000, 10_000},
		{"getUsersMe", "", "", 10_000, 10_000},
		{"getPostsById", "expansions=author_id", "", 5_000, 5_000},
		{"getPostsByIds", "ids=1,2,3", "", 5_000, 15_000},
		{"getPostsByIds", "ids=1%2C2&ids=3", "", 5_000, 15_000},
		{"getUsersByUsernames", "usernames=a,b", "", 10_000, 20_000},
		{"getPostsByIds", "", "", 5_000, 5_000}, // X refuses it
		{"searchPostsRecent", "query=a", "", 5_000, 50_000},
		{"searchPostsRecent", "query=a&max_results=25", "", 5_000, 125_000},
		{"searchPostsRecent", "query=a&max_results=25&max_results=40", "", 5_000, 200_000},
		{"searchPostsRecent", "query=a&max_results=1000", "", 5_000, 500_000},
		{"searchPostsRecent", "query=a&max_results=many", "", 5_000, 500_000},
		{"getUsersPosts", "", "", 5_000, 500_000},
		{"getUsersFollowers", "", "", 10_000, 10_000_000},
		{"getUsersMuting", "max_results=7", "", 1_000, 7_000},
		{"getDirectMessagesEvents", "max_results=5", "", 10_000, 50_000},
		{"createMediaSubtitles", "", "", 5_000, 5_000},
		{"initializeMediaUpload", "", "", 0, 0},
	} {
		c := spend.ChargeFor(action(t, v.action), v.query, []byte(v.body), true)
		if c.Unit != v.unit || c.Most != v.most {
			t.Errorf("%s?%s %s costs %s each and %s at most, want %s and %s",
				v.action, v.query, v.body, c.Unit, c.Most, v.unit, v.most)
		}
	}
	if c := spend.ChargeFor(action(t, "createPosts"), "", nil, false); c.Most != 200_000 {
		t.Errorf("a post that cannot be looked into costs %s", c.Most)
	}
}

// A read of one resource has no page, every other one has.
func TestEveryPricedReadHasAPage(t *testing.T) {
	for _, act := range xapi.All() {
		p, ok := xapi.PriceOf(act)
		if !ok || !p.PerResource || act.Stream {
			continue
		}
		if page := xapi.PageOf(act); page.Size < 1 || page.Size > page.Most ||
			page.Most == 1000 && page.Size == 1000 && len(xapiLong()[act.ID]) == 0 {
			t.Errorf("%s has the page %+v", act.ID, page)
		}
	}
}

// xapiLong are the reads whose pages have a thousand resources.
func xapiLong() map[string]string {
	return map[string]string{
		"getUsersAffiliates": "X", "getUsersBlocking": "X", "getUsersFollowers": "X", "getUsersFollowing": "X",
	}
}

func TestLinksAreFound(t *testing.T) {
	for _, s := range []string{
		"http://x", "HTTPS://EXAMPLE.COM", "ftp://a", "example.com", "Example.CO", "see example.com.", "(example.org)",
		"a.example.com/path?x=1", "x.io", "sub.domain.co.uk", "example.com, and", "example.com日本", "日本.com", "bücher.de",
		"me@example.com", "the end.So it goes", "пример.рф", "ПРИМЕР.РФ", "例子.中国人民", "xn--fiqs8s.xn--fiqs8s", "a-b.dev", "1.am",
		"cafe\u0301.com", "see x\u030c.com/sale", "bcd\u02bb.com", "a_.com", "☕.com", "a\u200d.com", "x\u2019.com", "example.xn--p1ai",
	} {
		if !spend.HasLink(s) {
			t.Errorf("%q has no link", s)
		}
	}
	for _, s := range []string{
		"", ".", "..", "hello", "hello. World", "e.g", "3.14", "a..b", "wait...what", "node.js", " .com", ".com", "v1.2.3",
		"a.", "end.\nSo", "(a).com", "what?.com", "a\u00a0.com", "a\u3000.com", "x.comx", "привет.Как дела", "10.000", "https:", "//",
	} {
		if spend.HasLink(s) {
			t.Errorf("%q has a link", s)
		}
	}
}

// What X makes a link of, Perch takes for one: wherever it stands, whatever is
// around it.
func TestALinkIsFoundWhereverItStands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		label := rapid.StringMatching(`[a-zA-Z0-9]([a-zA-Z0-9-]{0,10}[a-zA-Z0-9])?`)
		link := label.Draw(t, "label") + "." + rapid.SampledFrom([]string{"com", "Net", "app", "de", "museum"}).Draw(t, "top")
		text := rapid.String().Draw(t, "before") + " " + link + rapid.SampledFrom([]string{"", "/", " ", "?x", ".", "é"}).Draw(t, "end") +
			" " + rapid.String().Draw(t, "after")
		if !spend.HasLink(text) {
			t.Errorf("%q is not found", text)
		}
	})
}

// Whatever a letter, a mark, a number or a sign is in front of the dot, and of
// whichever script.
func TestALinkIsFoundBehindAnyCharacter(t *testing.T) {
	classes := []*unicode.RangeTable{unicode.L, unicode.M, unicode.N, unicode.So, unicode.Sk, unicode.Cf}
	rapid.Check(t, func(t *rapid.T) {
		last := rapid.RuneFrom(nil, classes...).Filter(func(r rune) bool { return r > 0x7e || r == '_' || unicode.In(r, unicode.L, unicode.N) })
		text := rapid.StringN(0, 9, -1).Draw(t, "before") + string(last.Draw(t, "last")) + ".com"
		if !spend.HasLink(text) {
			t.Errorf("%+q is not found", text)
		}
	})
}
