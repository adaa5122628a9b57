package replays_test

import (
	"context"
	"errors"
	"testing"

	"perch/app/replays"
	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/ports"
)

// Whatever X says of a list that it did not give in full, nothing follows from it.
func TestAListThatIsNotWholeReleasesNothing(t *testing.T) {
	for name, v := range map[string]struct{ page, slug string }{
		"errors and no posts":   {`{"errors":[{"title":"Authorization Error"}]}`, "idempotency-not-looked"},
		"errors beside a post":  {`{"data":[{"id":"9","text":"other","created_at":"2999-01-01T00:00:00Z"}],"errors":[{}]}`, "idempotency-not-looked"},
		"errors and a count":    {`{"meta":{"result_count":0},"errors":[{}]}`, "idempotency-not-looked"},
		"neither posts nor one": {`{}`, "idempotency-not-looked"},
		"null":                  {`null`, "idempotency-not-looked"},
		"a post without a time": {`{"data":[{"id":"9","text":"other"}]}`, "idempotency-unknown"},
		"a post without an ID":  {`{"data":[{"text":"hello","created_at":"2999-01-01T00:00:00Z"}]}`, "idempotency-unknown"},
		"the post without one":  {`{"data":[{"id":"9","text":"hello"}]}`, "idempotency-unknown"},
	} {
		h := lost(t, hello)
		h.later(idempotency.Late)
		_, err := h.Resolve(t.Context(), h.holder(), key, func(context.Context, ports.Call) (ports.Reply, error) {
			return replyOf(200, v.page), nil
		})
		if fault.SlugOf(err) != v.slug {
			t.Errorf("%s: %v", name, err)
		}
		h.is(idempotency.Unknown)
	}
}

// The search goes on behind a post that nothing is known of.
func TestAPostWithoutATimeDoesNotHideTheOne(t *testing.T) {
	h := lost(t, hello)
	h.shows(object("text", "hello"))
	h.posts = append([]map[string]any{object("id", "100", "text", "other")}, h.posts...)
	if s, err := h.resolve(); err != nil || s.State != idempotency.Done {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestAnEditedPostMayBeTheOne(t *testing.T) {
	for _, text := range []string{"hello, world", "hello"} {
		h := lost(t, hello)
		h.later(2 * idempotency.Late) // the time of an edit may be that of the edit
		h.shows(object("text", text, "edit_history_tweet_ids", []string{"98", "99"}))
		_, err := h.resolve()
		h.refused(err, "idempotency-unknown")
		h.is(idempotency.Unknown)
	}
}

// X need not list them among the user's posts.
func TestAPostThatXMayNotListStaysUnknown(t *testing.T) {
	for _, draft := range []string{
		`{"text":"hello","nullcast":true}`, `{"text":"hello","community_id":"5"}`,
		`{"text":"hello","edit_options":{"previous_post_id":"4"}}`, `{"text":"hello","for_super_followers_only":true}`,
		`{"text":"hello","share_with_followers":true}`, `{"text":"hello","nullcast":"maybe"}`,
	} {
		h := lost(t, draft)
		h.later(idempotency.Late)
		_, err := h.resolve()
		if f := h.problem(err, "idempotency-unknown"); f.Wait != 0 || h.looks != 0 {
			t.Errorf("%s: %+v after %d looks", draft, f, h.looks)
		}
		h.is(idempotency.Unknown)
	}
	h := lost(t, `{"text":"hello","nullcast":false,"community_id":null,"edit_options":null}`)
	h.shows(object("text", "hello"))
	if s, err := h.resolve(); err != nil || s.State != idempotency.Done {
		t.Errorf("with nothing of it: %+v, %v", s, err)
	}
}

// What is not compared proves nothing: the post may be somebody else's.
func TestAPostWithMoreThanIsComparedIsNeverTheOne(t *testing.T) {
	with := func(more ...any) map[string]any { return object(append([]any{"text", "hello"}, more...)...) }
	picture := object("media_keys", []string{"3_5"})
	for name, v := range map[string]struct {
		draft string
		post  map[string]any
	}{
		"a picture of somebody else": {hello, with("attachments", picture)},
		"no picture": {
			`{"text":"hello","media":{"media_ids":["5"]}}`, with(),
		},
		"tagged users": {
			`{"text":"hello","media":{"media_ids":["5"],"tagged_user_ids":["1"]}}`, with("attachments", picture),
		},
		"a poll to be":      {`{"text":"hello","poll":{"options":["a","b"],"duration_minutes":5}}`, with()},
		"a poll that is":    {hello, with("attachments", object("poll_ids", []string{"1"}))},
		"a card to be":      {`{"text":"hello","card_uri":"card://1"}`, with()},
		"a card that is":    {hello, with("card_uri", "card://1")},
		"a place to be":     {`{"text":"hello","geo":{"place_id":"p"}}`, with()},
		"a place that is":   {hello, with("geo", object("place_id", "p"))},
		"a community's":     {hello, with("community_id", "5")},
		"an audience to be": {`{"text":"hello","reply_settings":"following"}`, with()},
		"something new":     {`{"text":"hello","new_of_x":1}`, with()},
	} {
		h := lost(t, v.draft)
		h.shows(v.post)
		h.later(idempotency.Late)
		s, err := h.resolve()
		if fault.SlugOf(err) != "idempotency-unknown" {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		h.is(idempotency.Unknown)
	}
}

func TestACardOfALinkIsPartOfThePost(t *testing.T) {
	h := lost(t, `{"text":"see https://a.example"}`)
	h.shows(object("text", "see https://t.co/1", "card_uri", "https://t.co/1",
		"entities", links(object("url", "https://t.co/1", "expanded_url", "https://a.example"))))
	if s, err := h.resolve(); err != nil || s.State != idempotency.Done {
		t.Errorf("%+v, %v", s, err)
	}
}

// Who may not make a call may not say that it was not made.
func TestWhoMayNotMakeACallLetsNothingGo(t *testing.T) {
	h := lost(t, hello)
	h.later(idempotency.Late)
	no := fault.New(fault.Forbidden, "no").Named("no")
	holder := h.holder()
	holder.May = func(action string) error {
		if action != "createPosts" {
			t.Errorf("asked for %s", action)
		}
		return no
	}
	if err := h.Forget(t.Context(), holder, key); !errors.Is(err, no) {
		t.Error(err)
	}
	if _, err := h.Resolve(t.Context(), holder, key, h.look); !errors.Is(err, no) || h.looks != 0 {
		t.Errorf("%v after %d looks", err, h.looks)
	}
	h.is(idempotency.Unknown)
	holder.May = func(string) error { return nil }
	if s, err := h.Resolve(t.Context(), holder, key, h.look); err != nil || s.State != replays.Released {
		t.Errorf("%+v, %v", s, err)
	}
}
