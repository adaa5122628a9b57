package xsim_test

import (
	"net/http"
	"strings"
	"testing"

	"perch/adapters/xhttp/xsim"
	"perch/domain/xapi"
)

// A scene has one of everything, so that every action has something to act on.
type scene struct {
	*box
	access, bearer                             string
	post, reply, list, media, key, dm, dmGroup string
	folder                                     string
}

func stage(t *testing.T) scene {
	t.Helper()
	b := open(t, xsim.Options{})
	s := scene{box: b, access: b.as(ada), bearer: xsim.DefaultApp().Bearer}
	other := b.as(grace)
	s.post = b.want(201, "POST", "/2/tweets", s.access, `{"text":"hello world"}`).text("data.id")
	s.reply = b.want(201, "POST", "/2/tweets", other,
		`{"text":"@ada hello","reply":{"in_reply_to_tweet_id":"`+s.post+`"}}`).text("data.id")
	s.list = b.want(201, "POST", "/2/lists", s.access, `{"name":"friends"}`).text("data.id")
	b.want(200, "POST", "/2/lists/"+s.list+"/members", s.access, `{"user_id":"`+grace+`"}`)
	m := b.want(200, "POST", "/2/media/upload/initialize", s.access,
		`{"media_type":"image/png","media_category":"tweet_image","total_bytes":5}`)
	s.media, s.key = m.text("data.id"), m.text("data.media_key")
	b.want(200, "POST", "/2/media/upload/"+s.media+"/append", s.access, `{"media":"aGVsbG8=","segment_index":0}`)
	d := b.want(201, "POST", "/2/dm_conversations/with/"+grace+"/messages", s.access, `{"text":"psst"}`)
	s.dm, s.dmGroup = d.text("data.dm_event_id"), d.text("data.dm_conversation_id")
	s.folder = b.want(201, "POST", "/2/users/"+ada+"/bookmarks/folders", s.access, `{"name":"later"}`).text("data.id")
	b.want(200, "POST", "/2/users/"+ada+"/bookmarks", s.access,
		`{"tweet_id":"`+s.post+`","folder_id":"`+s.folder+`"}`)
	b.want(200, "POST", "/2/tweets/search/stream/rules", s.bearer, `{"add":[{"value":"hello","tag":"t"}]}`)
	return s
}

// path fills in an action's path and gives it every query parameter there is.
func (s scene) path(t *testing.T, act xapi.Action) string {
	t.Helper()
	params := map[string]string{
		"id": "1", "tweet_id": s.post, "source_tweet_id": s.post, "list_id": s.list, "user_id": grace, "username": "ada",
		"source_user_id": ada, "target_user_id": grace, "participant_id": grace, "dm_conversation_id": s.dmGroup,
		"event_id": s.dm, "folder_id": s.folder, "media_key": s.key, "endpoint_id": "filtered_stream", "webhook_id": "1",
		"subscription_id": "1", "article_id": "1", "message_id": "1", "media_hash_key": "1", "dm_id": "1", "media_id": "1",
		"resource_id": "1", "woeid": "1",
	}
	ids := ada
	switch {
	case act.ID == "blockUsersDms" || act.ID == "unblockUsersDms":
		params["id"] = grace
	case strings.HasPrefix(act.Path, "/2/users/{id}"):
		params["id"] = ada
	case strings.HasPrefix(act.Path, "/2/tweets"):
		params["id"], params["tweet_id"], ids = s.post, s.reply, s.post
	case strings.HasPrefix(act.Path, "/2/lists/{id}"):
		params["id"] = s.list
	case strings.HasPrefix(act.Path, "/2/media/upload/{id}"):
		params["id"] = s.media
	case strings.HasPrefix(act.Path, "/2/dm_conversations/{id}"):
		params["id"] = s.dmGroup
	}
	path, ok := act.Fill(params)
	if !ok {
		t.Fatalf("%s: a parameter of %s is missing", act.ID, act.Path)
	}
	if act.ID == "getRules" {
		return path
	}
	return path + "?query=hello&usernames=ada&ids=" + ids + "&media_id=" + s.media + "&media_keys=" + s.key
}

// body is one that the action accepts.
func (s scene) body(act xapi.Action) string {
	switch {
	case act.Body == xapi.NoBody:
		return ""
	case act.ID == "createPosts":
		return `{"text":"something new"}`
	case act.ID == "initializeMediaUpload":
		return `{"media_type":"video/mp4","media_category":"tweet_video","total_bytes":10}`
	case act.ID == "updateRules":
		return `{"add":[{"value":"another"}]}`
	case act.ID == "appendMediaUpload" || act.ID == "chatMediaUploadAppend" || act.ID == "mediaUpload":
		return `{"media":"aGVsbG8=","segment_index":0,"media_category":"tweet_image"}`
	}
	return `{"tweet_id":"` + s.post + `","target_user_id":"` + grace + `","user_id":"` + grace + `","list_id":"` + s.list +
		`","name":"n","hidden":true,"id":"` + s.media + `","text":"hello","conversation_type":"Group","participant_ids":["` +
		grace + `"],"message":{"text":"hello"},"url":"https://hooks.example/x"}`
}

// call performs an action and closes the reply if it does not end by itself.
func (s scene) call(t *testing.T, act xapi.Action, token string) answer {
	t.Helper()
	req := s.request(act.Method, s.path(t, act), token, s.body(act))
	if !act.Stream {
		a, err := s.send(req)
		if err != nil || a.err != nil {
			t.Fatal(err, a.err)
		}
		return a
	}
	res, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	return answer{status: res.StatusCode, header: res.Header}
}

func TestEveryAction(t *testing.T) {
	for _, act := range xapi.All() {
		t.Run(act.ID, func(t *testing.T) {
			s := stage(t)
			if act.Public() {
				succeeds(t, s, act, "")
				return
			}
			if a := s.call(t, act, ""); a.status != http.StatusUnauthorized {
				t.Errorf("without a credential: got %d, want 401", a.status)
			}
			right := s.access
			switch {
			case !act.ByUser():
				right = s.bearer
				refusedAs(t, s, act, s.access)
			case !act.ByApp():
				refusedAs(t, s, act, s.bearer)
			}
			succeeds(t, s, act, right)
		})
	}
}

func refusedAs(t *testing.T, s scene, act xapi.Action, token string) {
	t.Helper()
	a := s.call(t, act, token)
	if a.status != http.StatusForbidden ||
		!act.Stream && !strings.HasSuffix(a.text("type"), "/unsupported-authentication") {
		t.Errorf("with the wrong kind of credential: got %d %s", a.status, a.raw)
	}
}

func succeeds(t *testing.T, s scene, act xapi.Action, token string) {
	t.Helper()
	a := s.call(t, act, token)
	if a.status != act.Status() {
		t.Fatalf("with the right credential: got %d, want %d: %s", a.status, act.Status(), a.raw)
	}
	if counted(act) && a.header.Get("X-Rate-Limit-Limit") == "" {
		t.Error("the reply does not tell how much is left")
	}
	if a.header.Get("X-Transaction-Id") == "" || len(a.header.Values("Set-Cookie")) != 2 {
		t.Errorf("headers of X are missing: %v", a.header)
	}
	switch {
	case act.Stream:
	case act.Binary:
		if a.header.Get("Content-Type") != "application/octet-stream" || len(a.raw) == 0 {
			t.Errorf("not a file: %v", a.header)
		}
	case a.field("data") == nil && a.field("meta") == nil && a.field("openapi") == nil:
		t.Errorf("no data: %s", a.raw)
	case a.field("errors") != nil:
		t.Errorf("errors: %s", a.raw)
	}
	e := s.last("call")
	if e.Object != act.ID || e.Details["executed"] != "true" {
		t.Errorf("the ledger tells of %+v", e)
	}
}

// counted reports whether a published limit concerns a user's call, or the
// app's where users cannot call: reads count per app for the app alone.
func counted(act xapi.Action) bool {
	for _, l := range act.Limits {
		if l.Per == xapi.PerUser || !act.ByUser() || act.Method != http.MethodGet {
			return true
		}
	}
	return false
}

func TestSelf(t *testing.T) {
	s := stage(t)
	n := 0
	for _, act := range xapi.All() {
		if act.Self == "" {
			continue
		}
		n++
		a := s.call(t, act, s.as(grace)) // the paths are ada's
		if a.status != http.StatusBadRequest ||
			!strings.Contains(string(a.raw), "must be the same as the authenticating user") {
			t.Errorf("%s: got %d %s", act.ID, a.status, a.raw)
		}
	}
	if n == 0 {
		t.Fatal("no action is about the caller alone")
	}
}

func TestScopes(t *testing.T) {
	s := stage(t)
	for _, act := range xapi.All() {
		needs := act.Needs()
		if len(needs) == 0 || !act.ByUser() {
			continue
		}
		token := s.issue(ada, needs[1:]...)
		a := s.call(t, act, token.Access)
		if a.status != http.StatusForbidden || !strings.Contains(string(a.raw), needs[0]) {
			t.Errorf("%s without %s: got %d %s", act.ID, needs[0], a.status, a.raw)
		}
	}
}
