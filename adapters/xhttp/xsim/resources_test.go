package xsim_test

import (
	"fmt"
	"net/http"
	"testing"

	"perch/adapters/xhttp/xsim"
)

func (b *box) post(token, text string) string {
	b.t.Helper()
	return b.want(http.StatusCreated, "POST", "/2/tweets", token, fmt.Sprintf(`{"text":%q}`, text)).text("data.id")
}

func TestPartialErrors(t *testing.T) {
	b := open(t, xsim.Options{})
	token := b.as(ada)
	id := b.post(token, "hello")
	posts := b.want(200, "GET", "/2/tweets?ids="+id+",5", token, "")
	if posts.count("data") != 1 || posts.text("errors.0.resource_id") != "5" ||
		posts.text("errors.0.resource_type") != "tweet" {
		t.Errorf("posts: %s", posts.raw)
	}
	users := b.want(200, "GET", "/2/users/by?usernames=GRACE,nobody", token, "")
	if users.text("data.0.id") != grace || users.text("errors.0.value") != "nobody" {
		t.Errorf("users: %s", users.raw)
	}
	none := b.want(200, "GET", "/2/tweets/5", token, "")
	if none.field("data") != nil || none.count("errors") != 1 {
		t.Errorf("none: %s", none.raw)
	}
	b.want(400, "GET", "/2/tweets", token, "")
}

func TestPosts(t *testing.T) {
	b := open(t, xsim.Options{})
	a, g := b.as(ada), b.as(grace)
	id := b.post(a, "hello @grace")
	dup := b.want(403, "POST", "/2/tweets", a, `{"text":"hello @grace"}`)
	if dup.text("detail") != "You are not allowed to create a Tweet with duplicate content." ||
		dup.text("type") != "about:blank" {
		t.Errorf("duplicate: %s", dup.raw)
	}
	b.post(g, "hello @grace") // somebody else may say the same
	reply := b.want(201, "POST", "/2/tweets", g,
		`{"text":"hi","reply":{"in_reply_to_tweet_id":"`+id+`"}}`).text("data.id")
	quote := b.want(201, "POST", "/2/tweets", g, `{"text":"look","quote_tweet_id":"`+id+`"}`).text("data.id")

	view := b.want(200, "GET", "/2/tweets/"+reply+"?tweet.fields=author_id,conversation_id,in_reply_to_user_id,"+
		"referenced_tweets,created_at&expansions=author_id,referenced_tweets.id.author_id&user.fields=created_at", a, "")
	for path, want := range map[string]string{
		"data.author_id": grace, "data.conversation_id": id, "data.in_reply_to_user_id": ada,
		"data.referenced_tweets.0.id": id, "data.referenced_tweets.0.type": "replied_to",
		"includes.users.0.id": grace, "includes.users.1.id": ada, "includes.tweets.0.id": id,
		"data.created_at": "2026-05-04T12:00:00.000Z",
	} {
		if got := view.text(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if bare := b.want(200, "GET", "/2/tweets/"+reply, a, ""); bare.field("data.author_id") != nil {
		t.Errorf("nobody asked for: %s", bare.raw)
	}
	if m := b.want(200, "GET", "/2/users/"+grace+"/mentions", a, ""); m.count("data") != 2 {
		t.Errorf("mentions: %s", m.raw)
	}
	if q := b.want(200, "GET", "/2/tweets/"+id+"/quote_tweets", a, ""); q.text("data.0.id") != quote {
		t.Errorf("quotes: %s", q.raw)
	}
	if s := b.want(200, "GET", "/2/tweets/search/recent?query=from:grace%20HELLO", a, ""); s.count("data") != 1 {
		t.Errorf("search: %s", s.raw)
	}
	b.want(403, "PUT", "/2/tweets/"+reply+"/hidden", g, `{"hidden":true}`)
	b.want(200, "PUT", "/2/tweets/"+reply+"/hidden", a, `{"hidden":true}`)
	b.want(403, "DELETE", "/2/tweets/"+id, g, "")
	b.want(200, "DELETE", "/2/tweets/"+id, a, "")
	b.want(404, "DELETE", "/2/tweets/"+id, a, "")
	b.post(a, "hello @grace")
	if b.seen("post.created") != 5 || b.seen("post.deleted") != 1 {
		t.Error("the ledger miscounts")
	}
}

func TestPages(t *testing.T) {
	b := open(t, xsim.Options{})
	token := b.as(ada)
	for i := range 12 {
		b.post(token, fmt.Sprint("post ", i))
	}
	path := "/2/users/" + ada + "/tweets?max_results=5"
	var texts []string
	for token2, n := "", 0; n < 4; n++ {
		a := b.want(200, "GET", path+token2, token, "")
		for i := range a.count("data") {
			texts = append(texts, a.text(fmt.Sprintf("data.%d.text", i)))
		}
		next := a.text("meta.next_token")
		if next == "" {
			break
		}
		token2 = "&pagination_token=" + next
	}
	if len(texts) != 12 || texts[0] != "post 11" || texts[11] != "post 0" {
		t.Errorf("got %v", texts)
	}
	b.want(400, "GET", "/2/users/"+ada+"/tweets?max_results=4", token, "")
	b.want(400, "GET", path+"&pagination_token=guess", token, "")
}

func TestEngagement(t *testing.T) {
	b := open(t, xsim.Options{})
	a, g := b.as(ada), b.as(grace)
	id := b.post(a, "like me")
	body := `{"tweet_id":"` + id + `"}`
	for range 2 { // the second time changes nothing
		b.want(200, "POST", "/2/users/"+grace+"/likes", g, body)
		b.want(200, "POST", "/2/users/"+grace+"/retweets", g, body)
		b.want(200, "POST", "/2/users/"+grace+"/following", g, `{"target_user_id":"`+ada+`"}`)
	}
	for kind, want := range map[string]int{"like.created": 1, "repost.created": 1, "follow.created": 1} {
		if got := b.seen(kind); got != want {
			t.Errorf("%d × %s", got, kind)
		}
	}
	for path, id := range map[string]string{
		"/2/tweets/" + id + "/liking_users": grace, "/2/tweets/" + id + "/retweeted_by": grace,
		"/2/users/" + ada + "/followers": grace, "/2/users/" + grace + "/following": ada,
		"/2/users/" + grace + "/liked_tweets": id, "/2/users/" + grace + "/timelines/reverse_chronological": id,
	} {
		if got := b.want(200, "GET", path, g, ""); got.count("data") != 1 || got.text("data.0.id") != id {
			t.Errorf("%s: %s", path, got.raw)
		}
	}
	b.want(200, "POST", "/2/users/"+grace+"/muting", g, `{"target_user_id":"`+ada+`"}`)
	if home := b.want(200, "GET", "/2/users/"+grace+"/timelines/reverse_chronological", g, ""); home.count("data") != 0 {
		t.Errorf("a muted author: %s", home.raw)
	}
	b.want(200, "DELETE", "/2/users/"+grace+"/likes/"+id, g, "")
	b.want(200, "DELETE", "/2/users/"+grace+"/following/"+ada, g, "")
	if b.seen("like.deleted") != 1 || b.seen("follow.deleted") != 1 {
		t.Error("the ledger does not tell of the end")
	}
	b.want(404, "POST", "/2/users/"+grace+"/likes", g, `{"tweet_id":"5"}`)
	b.want(400, "POST", "/2/users/"+grace+"/likes", g, `{}`)
}

func TestListsAndMessages(t *testing.T) {
	b := open(t, xsim.Options{})
	a, g := b.as(ada), b.as(grace)
	list := b.want(201, "POST", "/2/lists", a, `{"name":"secret","private":true}`).text("data.id")
	b.want(200, "POST", "/2/lists/"+list+"/members", a, `{"user_id":"`+grace+`"}`)
	id := b.post(g, "in the list")
	if posts := b.want(200, "GET", "/2/lists/"+list+"/tweets", a, ""); posts.text("data.0.id") != id {
		t.Errorf("posts of the list: %s", posts.raw)
	}
	if hidden := b.want(200, "GET", "/2/lists/"+list, g, ""); hidden.field("data") != nil {
		t.Errorf("a private list: %s", hidden.raw)
	}
	b.want(403, "DELETE", "/2/lists/"+list, g, "")
	b.want(200, "DELETE", "/2/lists/"+list, a, "")

	sent := b.want(201, "POST", "/2/dm_conversations/with/"+grace+"/messages", a, `{"text":"psst"}`)
	if got := b.want(200, "GET", "/2/dm_conversations/with/"+ada+"/dm_events", g, ""); got.text("data.0.text") != "psst" {
		t.Errorf("message: %s", got.raw)
	}
	if got := b.want(200, "GET", "/2/dm_events", b.as("1500000000000000003"), ""); got.count("data") != 0 {
		t.Errorf("somebody else reads: %s", got.raw)
	}
	b.want(200, "POST", "/2/users/"+ada+"/dm/block", g, "")
	b.want(403, "POST", "/2/dm_conversations/with/"+grace+"/messages", a, `{"text":"hello?"}`)
	b.want(200, "DELETE", "/2/dm_events/"+sent.text("data.dm_event_id"), a, "")
	if got := b.want(200, "GET", "/2/dm_events/"+sent.text("data.dm_event_id"), a, ""); got.field("data") != nil {
		t.Errorf("deleted: %s", got.raw)
	}
}
