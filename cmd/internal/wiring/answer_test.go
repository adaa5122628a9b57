package wiring_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// An answer is a reply that was read to its end, or the error of the exchange.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

// send sends a request with headers written as "Name: value" lines.
func send(t testing.TB, c *http.Client, method, url, body string, headers ...string) answer {
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	res, err := c.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(b), err}
}

// ask is send where nothing may go wrong on the way.
func ask(t testing.TB, c *http.Client, method, url, body string, headers ...string) answer {
	t.Helper()
	a := send(t, c, method, url, body, headers...)
	if a.err != nil {
		t.Fatalf("%s %s: %v", method, url, a.err)
	}
	return a
}

// together lets n callers start at the same moment and returns what each got.
func together(n int, call func(i int) answer) []answer {
	answers, start := make([]answer, n), make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			answers[i] = call(i)
		})
	}
	close(start)
	all.Wait()
	return answers
}

// want fails the test for answers with another status, and shows the first.
func want(t testing.TB, status int, answers ...answer) {
	t.Helper()
	wrong := slices.DeleteFunc(slices.Clone(answers), func(a answer) bool { return a.err == nil && a.status == status })
	if len(wrong) > 0 {
		t.Errorf("%d of %d answers are wrong; the first: got %d, want %d: %s %v",
			len(wrong), len(answers), wrong[0].status, status, wrong[0].body, wrong[0].err)
	}
}

// field walks into the JSON of an answer: "data.id", "parts.0.name".
func (a answer) field(path string) any {
	var v any
	if json.Unmarshal([]byte(a.body), &v) != nil {
		return nil
	}
	for name := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}

func (a answer) text(path string) string {
	s, _ := a.field(path).(string)
	return s
}

// problem is the last part of the answer's problem type.
func (a answer) problem() string {
	slug, ok := strings.CutPrefix(a.text("type"), "urn:perch:problem:")
	if !ok {
		return ""
	}
	return slug
}

// jsonOf writes v as JSON; nil is no body at all.
func jsonOf(t testing.TB, v any) string {
	t.Helper()
	if v == nil {
		return ""
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
