package replays_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"perch/app/replays"
	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/ports"
)

// lost is a house in which X has not answered to a post.
func lost(t *testing.T, body string) *house {
	t.Helper()
	h := newHouse(t)
	h.answers(func() (ports.Reply, error) {
		return ports.Reply{}, fault.New(fault.Unavailable, "X did not answer").Named("x-no-answer")
	})
	_, err := h.ask(h.Service, key, body)
	if f := h.problem(err, "x-no-answer"); f.Extra["status_url"] == "" {
		t.Error("whoever asked is not told where to look")
	}
	return h
}

func (h *house) shows(post map[string]any) {
	post["created_at"] = h.now().Format(time.RFC3339)
	post["id"] = "99"
	h.posts = append([]map[string]any{post}, h.posts...)
}

func (h *house) resolve() (replays.Status, error) {
	return h.Resolve(context.Background(), h.holder(), key, h.look)
}

func TestAPostThatIsThereIsDone(t *testing.T) {
	h := lost(t, hello)
	h.shows(map[string]any{"text": "hello"})
	for range 2 {
		if s, err := h.resolve(); err != nil || s.State != idempotency.Done || s.Outcome != 201 {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	reply, err := h.ask(h.Service, key, hello)
	if err != nil || reply.Status != 201 || !strings.Contains(string(reply.Whole), `"id":"99"`) || reply.Header["Idempotency-Replayed"] == nil {
		t.Errorf("%s, %v", reply.Whole, err)
	}
	if h.times() != 1 || h.looks != 1 {
		t.Errorf("X was asked %d times and looked at %d times", h.times(), h.looks)
	}
}

func TestAPostThatIsNotThereIsSentAgainWhenXCannotBeLateAnyMore(t *testing.T) {
	h := lost(t, hello)
	h.shows(map[string]any{"text": "something else"})
	_, err := h.resolve()
	if f := h.problem(err, "idempotency-unknown"); f.Wait <= 0 || f.Wait > idempotency.Late {
		t.Errorf("to be resolved again after %v", f.Wait)
	}
	h.is(idempotency.Unknown)
	h.later(idempotency.Late)
	if s, err := h.resolve(); err != nil || s.State != replays.Released {
		t.Fatalf("%+v, %v", s, err)
	}
	h.is("")
	h.answers(func() (ports.Reply, error) { return replyOf(201, created), nil })
	if _, err := h.ask(h.Service, key, hello); err != nil || h.times() != 2 {
		t.Errorf("X was asked %d times: %v", h.times(), err)
	}
}

func object(pairs ...any) map[string]any {
	m := map[string]any{}
	for pair := range slices.Chunk(pairs, 2) {
		name, _ := pair[0].(string)
		m[name] = pair[len(pair)-1]
	}
	return m
}

func links(all ...map[string]any) map[string]any { return object("urls", all) }

func TestWhichPostIsTheOne(t *testing.T) {
	const found, unclear, missing = "found", "unclear", "missing"
	ref := func(kind, id string) []any { return []any{object("type", kind, "id", id)} }
	for name, v := range map[string]struct {
		draft map[string]any
		post  map[string]any
		want  string
	}{
		"the same text":           {object("text", "a <b> & c"), object("text", "a &lt;b&gt; &amp; c"), found},
		"an escape of its own":    {object("text", "a &amp; b"), object("text", "a &amp;amp; b"), found},
		"other space":             {object("text", " a  b\nc "), object("text", "a b\nc"), found},
		"another text":            {object("text", "a"), object("text", "b"), missing},
		"other words in Han":      {object("text", "漢字"), object("text", "文字"), missing},
		"other words in Russian":  {object("text", "Доброе утро"), object("text", "Совсем другой текст"), missing},
		"other words in Japanese": {object("text", "おはよう"), object("text", "さようなら"), missing},
		"other words in Greek":    {object("text", "καλημέρα"), object("text", "αντίο"), missing},
		"other words in Arabic":   {object("text", "صباح الخير"), object("text", "مع السلامة"), missing},
		"other words in Hebrew":   {object("text", "בוקר טוב"), object("text", "להתראות"), missing},
		"other words in Korean":   {object("text", "안녕하세요"), object("text", "안녕히 가세요"), missing},
		"other words in Thai":     {object("text", "ที่นี่"), object("text", "ที่นั่น"), missing},
		"other vowels in Hindi":   {object("text", "दिन"), object("text", "दान"), missing},
		"another script":          {object("text", "привет"), object("text", "hello"), missing},
		"words and none":          {object("text", "привет"), object("text", "!"), missing},
		"none and words":          {object("text", "!"), object("text", "привет"), missing},
		"other pictures":          {object("text", "\U0001F44D"), object("text", "\U0001F389"), unclear},
		"a picture in two ways":   {object("text", "да \u2764\ufe0f"), object("text", "да \u2764"), unclear},
		"other letters and links": {object("text", "утро https://a.example"), object("text", "вечер https://a.example"), missing},
		"Russian in two ways":     {object("text", "и\u0306од"), object("text", "\u0439од"), unclear},
		"Korean in two ways":      {object("text", "\u1112\u1161\u11ab"), object("text", "한"), unclear},
		"kana of half the width":  {object("text", "ｶﾞｷﾞ"), object("text", "ガギ"), unclear},
		"with what nobody sees":   {object("text", "a\u034fб\u200b"), object("text", "aб"), unclear},
		"a letter in two ways":    {object("text", "cafe\u0301 1"), object("text", "café 1"), unclear},
		"a link":                  {object("text", "see https://a.example/x"), object("text", "see https://t.co/1", "entities", links(object("url", "https://t.co/1", "expanded_url", "https://a.example/x"))), found},
		"a link without a scheme": {object("text", "see a.example"), object("text", "see https://t.co/1", "entities", links(object("url", "https://t.co/1", "expanded_url", "http://a.example"))), found},
		"a link that X changed":   {object("text", "see http://a.example"), object("text", "see https://t.co/1", "entities", links(object("url", "https://t.co/1", "expanded_url", "https://b.example/"))), unclear},
		"a long one": {object("text", strings.Repeat("long ", 100)), object("text", "long long… https://t.co/1",
			"note_tweet", object("text", strings.Repeat("long ", 100))), found},
		"with a picture": {object("text", "look", "media", object("media_ids", []string{"5"})), object("text", "look https://t.co/1",
			"attachments", object("media_keys", []string{"3_5"}),
			"entities", links(object("url", "https://t.co/1", "expanded_url", "https://x.com/a/status/9/photo/1"))), found},
		"with another picture": {object("text", "look", "media", object("media_ids", []string{"5"})), object("text", "look",
			"attachments", object("media_keys", []string{"3_6"})), unclear},
		"a reply": {object("text", "@c yes", "reply", object("in_reply_to_tweet_id", "4")),
			object("text", "@a @c yes", "referenced_tweets", ref("replied_to", "4")), found},
		"a reply without names": {object("text", "yes", "reply", object("in_reply_to_tweet_id", "4")),
			object("text", "@a @b yes", "referenced_tweets", ref("replied_to", "4")), found},
		"a reply whose name is there": {object("text", "@A yes", "reply", object("in_reply_to_tweet_id", "4")),
			object("text", "@a yes", "referenced_tweets", ref("replied_to", "4")), found},
		"a reply of names alone": {object("text", "@c", "reply", object("in_reply_to_tweet_id", "4")),
			object("text", "@a @c", "referenced_tweets", ref("replied_to", "4")), found},
		"a reply of a picture alone": {object("reply", object("in_reply_to_tweet_id", "4"), "media", object("media_ids", []string{"5"})),
			object("text", "@a https://t.co/1", "referenced_tweets", ref("replied_to", "4"), "attachments", object("media_keys", []string{"3_5"}),
				"entities", links(object("url", "https://t.co/1", "expanded_url", "https://x.com/a/status/9/photo/1"))), found},
		"a reply to somebody else there": {object("text", "@c yes", "reply", object("in_reply_to_tweet_id", "4")),
			object("text", "@a yes", "referenced_tweets", ref("replied_to", "4")), unclear},
		"a reply with names in another order": {object("text", "@c yes", "reply", object("in_reply_to_tweet_id", "4")),
			object("text", "@c @a yes", "referenced_tweets", ref("replied_to", "4")), unclear},
		"a reply to who has a longer name": {object("text", "@c yes", "reply", object("in_reply_to_tweet_id", "4")),
			object("text", "@a_@c yes", "referenced_tweets", ref("replied_to", "4")), missing},
		"a reply of other names alone": {object("text", "@c", "reply", object("in_reply_to_tweet_id", "4")),
			object("text", "@a", "referenced_tweets", ref("replied_to", "4")), unclear},
		"a reply to another": {object("text", "yes", "reply", object("in_reply_to_tweet_id", "4")),
			object("text", "yes", "referenced_tweets", ref("replied_to", "5")), unclear},
		"no reply": {object("text", "yes"), object("text", "@a yes", "referenced_tweets", ref("replied_to", "4")), missing},
		"a quote": {object("text", "so", "quote_tweet_id", "4"), object("text", "so https://t.co/1", "referenced_tweets", ref("quoted", "4"),
			"entities", links(object("url", "https://t.co/1", "expanded_url", "https://twitter.com/a/status/4"))), found},
		"a quote by a link": {object("text", "so https://x.com/a/status/4"), object("text", "so https://t.co/1", "referenced_tweets", ref("quoted", "4"),
			"entities", links(object("url", "https://t.co/1", "expanded_url", "https://x.com/a/status/4"))), found},
		"a repost":                    {object("text", "a"), object("text", "a", "referenced_tweets", ref("retweeted", "4")), missing},
		"with a scheme in upper case": {object("text", "HTTPS://a.example/"), object("text", "https://t.co/1", "entities", links(object("url", "https://t.co/1", "expanded_url", "https://a.example/"))), found},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := json.Marshal(v.draft)
			if err != nil {
				t.Fatal(err)
			}
			h := lost(t, string(body))
			h.shows(v.post)
			h.later(idempotency.Late)
			s, err := h.resolve()
			got := map[bool]string{true: unclear, false: missing}[err != nil]
			if s.State == idempotency.Done {
				got = found
			}
			if got != v.want || err != nil && fault.SlugOf(err) != "idempotency-unknown" {
				t.Errorf("%s: %+v, %v", got, s, err)
			}
		})
	}
}

func TestAPostOfAnotherTimeIsNotTheOne(t *testing.T) {
	for name, shift := range map[string]time.Duration{"earlier": -2 * time.Minute, "much later": 10 * time.Minute} {
		h := lost(t, hello)
		h.shows(map[string]any{"text": "hello"})
		h.posts[0]["created_at"] = h.now().Add(shift).Format(time.RFC3339)
		h.later(15 * time.Minute)
		if s, err := h.resolve(); err != nil || s.State != replays.Released {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

// Of a search that did not see everything nothing follows.
func TestASearchThatDidNotSeeEverything(t *testing.T) {
	h := lost(t, hello)
	h.later(idempotency.Late)
	for name, v := range map[string]struct {
		look replays.Looker
		slug string
	}{
		"X refuses": {func(context.Context, ports.Call) (ports.Reply, error) { return replyOf(429, `{}`), nil }, "idempotency-not-looked"},
		"no JSON":   {func(context.Context, ports.Call) (ports.Reply, error) { return replyOf(200, `{`), nil }, ""},
		"no scope": {func(context.Context, ports.Call) (ports.Reply, error) {
			return ports.Reply{}, fault.New(fault.Forbidden, "").Named("insufficient-scope")
		}, "insufficient-scope"},
		"more to see": {func(context.Context, ports.Call) (ports.Reply, error) {
			return replyOf(200, `{"meta":{"next_token":"n","result_count":0}}`), nil
		}, "idempotency-unknown"},
	} {
		if _, err := h.Resolve(t.Context(), h.holder(), key, v.look); err == nil || fault.SlugOf(err) != v.slug {
			t.Errorf("%s: %v", name, err)
		}
		h.is(idempotency.Unknown)
	}
}

func TestWhatPerchCannotLookUpStaysUnknown(t *testing.T) {
	h := newHouse(t)
	h.answers(func() (ports.Reply, error) { return replyOf(500, "{}"), nil })
	call := h.call("createDirectMessagesConversation", hello)
	if _, err := h.Once(t.Context(), h.who, key, call, []byte(hello), h.perform); err != nil {
		t.Fatal(err)
	}
	h.later(time.Hour)
	_, err := h.resolve()
	if f := h.problem(err, "idempotency-unknown"); f.Wait != 0 || !strings.Contains(f.Say, "DELETE") || h.looks != 0 {
		t.Errorf("%+v after %d looks", f, h.looks)
	}
	h.is(idempotency.Unknown)
}

func TestWhoHasLookedMayForget(t *testing.T) {
	h := lost(t, hello)
	stranger := h.holder()
	stranger.Grant = "grant-2"
	if err := h.Forget(t.Context(), stranger, key); !errors.Is(err, fault.NotFound) {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := h.Resolve(t.Context(), stranger, key, h.look); !errors.Is(err, fault.NotFound) {
		t.Errorf("a stranger: %v", err)
	}
	if err := h.Forget(t.Context(), h.holder(), key); err != nil {
		t.Fatal(err)
	}
	h.is("")
	h.answers(func() (ports.Reply, error) { return replyOf(201, created), nil })
	if _, err := h.ask(h.Service, key, hello); err != nil || h.times() != 2 {
		t.Errorf("X was asked %d times: %v", h.times(), err)
	}
	h.refused(h.Forget(t.Context(), h.holder(), key), "idempotency-key-done")
}

// The X App's own calls are seen by who may make such.
func TestCallsOfTheAppItself(t *testing.T) {
	h := newHouse(t)
	h.who.Grant = ""
	if _, err := h.ask(h.Service, key, hello); err != nil {
		t.Fatal(err)
	}
	holder := h.holder()
	holder.Grant = "grant"
	if _, err := h.Look(t.Context(), holder, key); !errors.Is(err, fault.NotFound) {
		t.Error(err)
	}
	holder.AppOnly = true
	if _, err := h.Look(t.Context(), holder, key); err != nil {
		t.Error(err)
	}
}

func TestWhatIsUnderWayIsNotResolved(t *testing.T) {
	h := newHouse(t)
	check := func() {
		_, err := h.resolve()
		h.refused(err, "idempotency-in-progress")
		h.refused(h.Forget(context.Background(), h.holder(), key), "idempotency-in-progress")
	}
	_, err := h.Once(t.Context(), h.who, key, h.call("createPosts", hello), []byte(hello), func(
		ctx context.Context, sent func(context.Context) error,
	) (ports.Reply, error) {
		check()
		return h.perform(ctx, func(ctx context.Context) error {
			err := sent(ctx)
			check()
			return err
		})
	})
	if err != nil || h.looks != 0 {
		t.Errorf("%d looks, %v", h.looks, err)
	}
}
