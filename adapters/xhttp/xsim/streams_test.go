package xsim_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

// listen opens a stream and returns its lines; they end when the stream does.
func (b *box) listen(ctx context.Context, path string) <-chan string {
	b.t.Helper()
	res, err := b.client.Do(b.request("GET", path, "sim-bearer", "").WithContext(ctx)) //nolint:bodyclose // closed below
	if err != nil {
		b.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		b.t.Fatalf("%s: %d", path, res.StatusCode)
	}
	lines := make(chan string, 16)
	go func() {
		defer close(lines)
		defer func() { _ = res.Body.Close() }()
		in := bufio.NewScanner(res.Body)
		in.Split(func(data []byte, _ bool) (int, []byte, error) {
			if i := strings.Index(string(data), "\r\n"); i >= 0 {
				return i + 2, data[:i], nil
			}
			return 0, nil, nil
		})
		for in.Scan() {
			lines <- in.Text()
		}
	}()
	return lines
}

// eventually waits until something concurrent has happened.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came to pass: " + what)
		}
	}
}

func TestFilteredStream(t *testing.T) {
	b := open(t, xsim.Options{})
	none := b.want(http.StatusConflict, "GET", "/2/tweets/search/stream", "sim-bearer", "")
	if none.text("connection_issue") != "RuleConfigurationIssue" {
		t.Errorf("without rules: %s", none.raw)
	}
	b.want(200, "POST", "/2/tweets/search/stream/rules", "sim-bearer",
		`{"add":[{"value":"cat from:ada -\"big dog\"","tag":"cats"}]}`)
	ctx, leave := context.WithCancel(t.Context())
	lines := b.listen(ctx, "/2/tweets/search/stream?expansions=author_id&tweet.fields=created_at")

	second := b.want(http.StatusTooManyRequests, "GET", "/2/tweets/search/stream", "sim-bearer", "")
	if !strings.HasSuffix(second.text("type"), "/streaming-connection") ||
		second.text("connection_issue") != "TooManyConnections" {
		t.Errorf("the second connection: %s", second.raw)
	}
	b.want(201, "POST", "/2/tweets", b.as(grace), `{"text":"my cat"}`)
	b.want(201, "POST", "/2/tweets", b.as(ada), `{"text":"a cat and a big dog"}`)
	b.want(201, "POST", "/2/tweets", b.as(ada), `{"text":"a Cat at last"}`)
	line := answer{raw: []byte(<-lines)}
	if line.text("data.text") != "a Cat at last" || line.text("matching_rules.0.tag") != "cats" ||
		line.text("includes.users.0.username") != "ada" || line.text("data.created_at") == "" {
		t.Errorf("got %s", line.raw)
	}
	leave()
	for range lines { // until the stream has ended
	}
	eventually(t, "connection.closed", func() bool { return b.seen("connection.closed") == 1 })
	if b.seen("connection.opened") != 1 {
		t.Error("connection.opened is not in the ledger once")
	}
}

func TestKeepAliveAndSamples(t *testing.T) {
	b := open(t, xsim.Options{})
	b.want(200, "POST", "/_sim/settings", "", `{"keep_alive":"10ms"}`)
	sample := b.listen(t.Context(), "/2/tweets/sample/stream")
	likes := b.listen(t.Context(), "/2/likes/firehose/stream?partition=1")
	if first := <-sample; first != "" {
		t.Errorf("want a keep-alive, got %q", first)
	}
	token := b.as(ada)
	id := b.want(201, "POST", "/2/tweets", token, `{"text":"to all"}`).text("data.id")
	b.want(200, "POST", "/2/users/"+ada+"/likes", token, `{"tweet_id":"`+id+`"}`)
	for name, lines := range map[string]<-chan string{id: sample, `"liked_tweet_id":"` + id: likes} {
		for line := range lines {
			if line != "" {
				if !strings.Contains(line, name) {
					t.Errorf("want %s, got %s", name, line)
				}
				break
			}
		}
	}
}

func TestStreamsCanBeKilled(t *testing.T) {
	b := open(t, xsim.Options{})
	lines := b.listen(t.Context(), "/2/tweets/sample/stream")
	list := b.want(200, "GET", "/2/connections", "sim-bearer", "")
	if list.text("data.0.endpoint_name") != "sample_stream" {
		t.Errorf("list: %s", list.raw)
	}
	killed := b.want(200, "DELETE", "/2/connections/sample_stream", "sim-bearer", "")
	if !strings.Contains(string(killed.raw), `"successful_kills":1`) {
		t.Errorf("kill: %s", killed.raw)
	}
	for range lines { // until the stream has ended
	}
	b.listen(t.Context(), "/2/tweets/sample/stream")
}

func TestTornStream(t *testing.T) {
	b := open(t, xsim.Options{})
	b.Mischief(xsim.Mischief{Match: "streamPostsSample", Kind: "torn", Times: 1})
	a, err := b.send(b.request("GET", "/2/tweets/sample/stream", "sim-bearer", ""))
	if err != nil || a.err == nil || len(a.raw) == 0 {
		t.Errorf("got %v, %v, %q", err, a.err, a.raw)
	}
	eventually(t, "connection.closed", func() bool { return b.seen("connection.closed") == 1 })
}

func TestRules(t *testing.T) {
	b := open(t, xsim.Options{})
	const path = "/2/tweets/search/stream/rules"
	a := b.want(200, "POST", path, "sim-bearer", `{"add":[{"value":"one"},{"value":"one"},{"value":"two"}]}`)
	if a.count("data") != 2 || !strings.HasSuffix(a.text("errors.0.type"), "/duplicate-rules") {
		t.Errorf("add: %s", a.raw)
	}
	b.want(200, "POST", path+"?dry_run=true", "sim-bearer", `{"add":[{"value":"three"}]}`)
	if got := b.want(200, "GET", path, "sim-bearer", ""); got.count("data") != 2 {
		t.Errorf("rules: %s", got.raw)
	}
	b.want(200, "POST", path, "sim-bearer", `{"delete":{"ids":["`+a.text("data.0.id")+`"]}}`)
	if got := b.want(200, "GET", path, "sim-bearer", ""); got.count("data") != 1 || got.text("data.0.value") != "two" {
		t.Errorf("rules: %s", got.raw)
	}
	b.want(400, "POST", path, "sim-bearer", `{}`)
}
