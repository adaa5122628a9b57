package xsim_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

// multipartBody writes a multipart upload, the file first or last.
func multipartBody(t *testing.T, media []byte, fileFirst bool, field, value string) (string, *bytes.Buffer) {
	t.Helper()
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	file := func() {
		part, err := w.CreateFormFile("media", "blob")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write(media)
	}
	if fileFirst {
		file()
	}
	_ = w.WriteField(field, value)
	if !fileFirst {
		file()
	}
	_ = w.Close()
	return w.FormDataContentType(), &buf
}

func (b *box) upload(path, token, kind string, body io.Reader) answer {
	b.t.Helper()
	req := b.request("POST", path, token, "")
	req.Body, req.ContentLength = io.NopCloser(body), -1
	req.Header.Set("Content-Type", kind)
	a, err := b.send(req)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

func (b *box) segment(id, token string, index int, media []byte) answer {
	b.t.Helper()
	kind, body := multipartBody(b.t, media, index%2 == 0, "segment_index", fmt.Sprint(index))
	return b.upload("/2/media/upload/"+id+"/append", token, kind, body)
}

func (b *box) initialize(token, category, kind string, total int) string {
	b.t.Helper()
	return b.want(http.StatusOK, "POST", "/2/media/upload/initialize", token,
		fmt.Sprintf(`{"media_type":%q,"media_category":%q,"total_bytes":%d}`, kind, category, total)).text("data.id")
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func TestVideo(t *testing.T) {
	b := open(t, xsim.Options{})
	token := b.as(ada)
	film := bytes.Repeat([]byte("frame."), 200_000)
	id := b.initialize(token, "tweet_video", "video/mp4", len(film))
	for i := 0; i*500_000 < len(film); i++ {
		piece := film[i*500_000 : min((i+1)*500_000, len(film))]
		if a := b.segment(id, token, i, piece); a.status != http.StatusOK || a.field("data.expires_at") == nil {
			t.Fatalf("segment %d: %d %s", i, a.status, a.raw)
		}
	}
	again := film[1_000_000:]
	text := strings.ReplaceAll(base64.StdEncoding.EncodeToString(again), "/", `\/`)
	b.upload("/2/media/upload/"+id+"/append", token, "application/json",
		strings.NewReader(`{"segment_index":2,"media":"`+text+`"}`))
	if e := b.last("media.appended"); e.Details["sha256"] != sum(again) || e.Details["encoding"] != "json" {
		t.Errorf("appended: %+v", e)
	}
	done := b.want(http.StatusOK, "POST", "/2/media/upload/"+id+"/finalize", token, "")
	if done.text("data.processing_info.state") != "pending" {
		t.Errorf("finalized: %s", done.raw)
	}
	e := b.last("media.finalized")
	if e.Details["sha256"] != sum(film) || e.Details["bytes"] != "1200000" || e.Details["segments"] != "3" {
		t.Errorf("ledger: %+v", e)
	}
	post := `{"text":"film","media":{"media_ids":["` + id + `"]}}`
	b.want(http.StatusBadRequest, "POST", "/2/tweets", token, post)
	for _, state := range []string{"in_progress", "succeeded"} {
		b.Advance(2 * time.Second)
		a := b.want(http.StatusOK, "GET", "/2/media/upload?command=STATUS&media_id="+id, token, "")
		if a.text("data.processing_info.state") != state {
			t.Errorf("want %s: %s", state, a.raw)
		}
	}
	b.want(http.StatusCreated, "POST", "/2/tweets", token, post)
	b.want(http.StatusNotFound, "GET", "/2/media/upload?media_id="+id, b.as(grace), "")
	b.Advance(24 * time.Hour)
	b.want(http.StatusNotFound, "GET", "/2/media/upload?media_id="+id, b.as(ada), "")
}

func TestUploadsThatFail(t *testing.T) {
	b := open(t, xsim.Options{})
	token := b.as(ada)
	finalize := func(id string) answer { return b.do("POST", "/2/media/upload/"+id+"/finalize", token, "") }

	gap := b.initialize(token, "tweet_image", "image/png", 6)
	b.segment(gap, token, 0, []byte("abc"))
	b.segment(gap, token, 2, []byte("def"))
	if a := finalize(gap); a.status != http.StatusBadRequest {
		t.Errorf("a missing segment: %d %s", a.status, a.raw)
	}
	b.segment(gap, token, 1, []byte("xyz"))
	if a := finalize(gap); a.status != http.StatusBadRequest {
		t.Errorf("too many bytes: %d %s", a.status, a.raw)
	}
	if a := finalize(b.initialize(token, "tweet_image", "image/png", 0)); a.status != http.StatusBadRequest {
		t.Errorf("nothing at all: %d %s", a.status, a.raw)
	}
	if a := b.segment(gap, token, 1000, []byte("x")); a.status != http.StatusBadRequest {
		t.Errorf("segment 1000: %d %s", a.status, a.raw)
	}
	a := b.segment(gap, token, 3, make([]byte, 5<<20+1))
	if a.status != http.StatusRequestEntityTooLarge || len(a.raw) != 0 {
		t.Errorf("a large segment: %d %s", a.status, a.raw)
	}
	if a := b.segment(gap, b.as(grace), 0, []byte("x")); a.status != http.StatusNotFound {
		t.Errorf("somebody else's: %d %s", a.status, a.raw)
	}
	for name, body := range map[string]string{
		"not base64": `{"segment_index":0,"media":"?"}`, "an object": `{"segment_index":0,"media":{"0":1}}`,
		"no media": `{"segment_index":0}`, "no index": `{"media":"YQ=="}`, "half": `{"segment_index":0,"media":"YQ`,
	} {
		if a := b.do("POST", "/2/media/upload/"+gap+"/append", token, body); a.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
	}
	for _, body := range []string{
		`{"media_category":"tweet_image","total_bytes":5242881}`, `{"media_category":"hologram"}`, `{"command":"INIT"}`,
	} {
		b.want(http.StatusBadRequest, "POST", "/2/media/upload/initialize", token, body)
	}
}

func TestSegmentsOutOfOrder(t *testing.T) {
	b := open(t, xsim.Options{})
	token := b.as(ada)
	id := b.initialize(token, "tweet_image", "image/png", 6)
	b.segment(id, token, 1, []byte("def"))
	b.segment(id, token, 0, []byte("abc"))
	b.want(http.StatusOK, "POST", "/2/media/upload/"+id+"/finalize", token, "")
	if e := b.last("media.finalized"); e.Details["sha256"] != "" || e.Details["bytes"] != "6" {
		t.Errorf("a hash that cannot be known: %+v", e)
	}
}

func TestUploadAtOnce(t *testing.T) {
	b := open(t, xsim.Options{})
	token := b.as(ada)
	kind, body := multipartBody(t, []byte("picture"), false, "media_category", "tweet_image")
	a := b.upload("/2/media/upload", token, kind, body)
	if a.status != http.StatusOK || a.field("data.processing_info") != nil {
		t.Fatalf("got %d %s", a.status, a.raw)
	}
	if e := b.last("media.finalized"); e.Details["sha256"] != sum([]byte("picture")) {
		t.Errorf("ledger: %+v", e)
	}
	id, key := a.text("data.id"), a.text("data.media_key")
	b.want(http.StatusOK, "POST", "/2/media/metadata", token, `{"id":"`+id+`","metadata":{"alt_text":{"text":"a cat"}}}`)
	b.want(http.StatusOK, "DELETE", "/2/media/subtitles", token,
		`{"id":"`+id+`","media_category":"TweetVideo","language_code":"EN"}`)
	seen := b.want(http.StatusOK, "GET", "/2/media?media_keys="+key+",3_1&media.fields=alt_text", token, "")
	if seen.text("data.0.alt_text") != "a cat" || seen.text("errors.0.resource_id") != "3_1" {
		t.Errorf("lookup: %s", seen.raw)
	}
	post := b.want(http.StatusCreated, "POST", "/2/tweets", token, `{"media":{"media_ids":["`+id+`"]}}`)
	got := b.want(http.StatusOK, "GET", "/2/tweets/"+post.text("data.id")+"?expansions=attachments.media_keys", token, "")
	if got.text("includes.media.0.media_key") != key || got.text("data.attachments.media_keys.0") != key {
		t.Errorf("post with media: %s", got.raw)
	}
}
