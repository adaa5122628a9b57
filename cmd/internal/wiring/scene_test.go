package wiring_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/domain/xapi"
)

// A scene is a fresh X in which there is one of everything, so that every action
// has something to act on. Two scenes are alike to the last ID: in both it is
// always the same moment.
type scene struct {
	*xsim.Sim
	token                                          xsim.Token // of ada
	bearer                                         string
	post, reply, list, media, key, dm, dms, folder string
	staged                                         int // entries of the ledger that tell of the staging
}

func stage(t *testing.T) *scene {
	t.Helper()
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	s := &scene{Sim: xsim.New(xsim.Options{Now: func() time.Time { return at }}), bearer: xsim.DefaultApp().Bearer}
	set(t, s.Sim, `{"keep_alive":"20ms"}`)
	s.token = issue(t, s.Sim, xsim.DefaultApp().ClientID, ada)
	mine, hers := s.token.Access, issue(t, s.Sim, xsim.DefaultApp().ClientID, grace).Access
	s.post = s.do(t, "/2/tweets", mine, `{"text":"hello world"}`).text("data.id")
	s.reply = s.do(t, "/2/tweets", hers,
		`{"text":"@ada hello","reply":{"in_reply_to_tweet_id":"`+s.post+`"}}`).text("data.id")
	s.list = s.do(t, "/2/lists", mine, `{"name":"friends"}`).text("data.id")
	s.do(t, "/2/lists/"+s.list+"/members", mine, `{"user_id":"`+grace+`"}`)
	m := s.do(t, "/2/media/upload/initialize", mine,
		`{"media_type":"image/png","media_category":"tweet_image","total_bytes":5}`)
	s.media, s.key = m.text("data.id"), m.text("data.media_key")
	s.do(t, "/2/media/upload/"+s.media+"/append", mine, `{"media":"aGVsbG8=","segment_index":0}`)
	d := s.do(t, "/2/dm_conversations/with/"+grace+"/messages", mine, `{"text":"psst"}`)
	s.dm, s.dms = d.text("data.dm_event_id"), d.text("data.dm_conversation_id")
	s.folder = s.do(t, "/2/users/"+ada+"/bookmarks/folders", mine, `{"name":"later"}`).text("data.id")
	s.do(t, "/2/users/"+ada+"/bookmarks", mine, `{"tweet_id":"`+s.post+`","folder_id":"`+s.folder+`"}`)
	s.do(t, "/2/tweets/search/stream/rules", s.bearer, `{"add":[{"value":"hello","tag":"t"}]}`)
	s.staged = len(s.Ledger())
	return s
}

// do posts to X without Perch and expects success.
func (s *scene) do(t *testing.T, path, token, body string) answer {
	t.Helper()
	a := s.direct("POST", path, token, body)
	if a.status/100 != 2 {
		t.Fatalf("%s: %d %s", path, a.status, a.body)
	}
	return a
}

// direct asks X without Perch. Replies that do not end are not for it.
func (s *scene) direct(method, path, token, body string) answer {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return answer{status: w.Code, header: w.Header(), body: w.Body.String()}
}

// credential is the token with which X wants the action performed, and what the
// ledger calls it.
func (s *scene) credential(act xapi.Action) (token, kind, user string) {
	switch {
	case act.Public():
		return "", "none", ""
	case act.ByUser():
		return s.token.Access, "user", ada
	}
	return s.bearer, "app", ""
}

// path is the action's, with parameters that lead to what is in the scene.
func (s *scene) path(t *testing.T, act xapi.Action) string {
	t.Helper()
	params := map[string]string{
		"tweet_id": s.post, "source_tweet_id": s.post, "list_id": s.list, "user_id": grace, "username": "ada",
		"source_user_id": ada, "target_user_id": grace, "participant_id": grace, "dm_conversation_id": s.dms,
		"event_id": s.dm, "folder_id": s.folder, "media_key": s.key, "endpoint_id": "filtered_stream",
	}
	for _, name := range []string{
		"id", "webhook_id", "subscription_id", "article_id", "message_id", "media_hash_key", "dm_id", "media_id",
		"resource_id", "woeid",
	} {
		params[name] = "1"
	}
	ids := ada
	switch under := func(prefix string) bool { return strings.HasPrefix(act.Path, prefix) }; {
	case act.ID == "blockUsersDms" || act.ID == "unblockUsersDms":
		params["id"] = grace
	case under("/2/users/{id}"):
		params["id"] = ada
	case under("/2/tweets"):
		params["id"], params["tweet_id"], ids = s.post, s.reply, s.post
	case under("/2/lists/{id}"):
		params["id"] = s.list
	case under("/2/media/upload/{id}"):
		params["id"] = s.media
	case under("/2/dm_conversations/{id}"):
		params["id"] = s.dms
	}
	path, ok := act.Fill(params)
	if !ok {
		t.Fatalf("%s lacks a parameter of %s", act.ID, act.Path)
	}
	if act.ID == "getRules" {
		return path
	}
	return path + "?ids=" + ids + "&media_id=" + s.media + "&media_keys=" + s.key + "&query=hello&usernames=ada"
}

// body is one that X accepts for the action.
func (s *scene) body(t *testing.T, act xapi.Action) string {
	t.Helper()
	switch act.ID {
	case "createPosts":
		return `{"text":"something new"}`
	case "initializeMediaUpload":
		return `{"media_type":"video/mp4","media_category":"tweet_video","total_bytes":10}`
	case "updateRules":
		return `{"add":[{"value":"another"}]}`
	}
	switch act.Body {
	case xapi.NoBody:
		return ""
	case xapi.Upload:
		return `{"media":"aGVsbG8=","segment_index":0,"media_category":"tweet_image"}`
	case xapi.JSON:
	}
	return jsonOf(t, object{
		"tweet_id": s.post, "target_user_id": grace, "user_id": grace, "list_id": s.list, "name": "n", "hidden": true,
		"id": s.media, "text": "hello", "conversation_type": "Group", "participant_ids": []string{grace},
		"message": object{"text": "hello"}, "url": "https://hooks.example/x",
	})
}

// headers are the names of all the headers with which X should be asked.
func (s *scene) headers(act xapi.Action, body string) string {
	names := "accept"
	if !act.Public() {
		names += ",authorization"
	}
	if body != "" || act.Method == http.MethodPost || act.Method == http.MethodPut {
		names += ",content-length"
	}
	if body != "" {
		names += ",content-type"
	}
	return names + ",user-agent"
}
