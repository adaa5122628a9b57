package demo_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A recorder keeps everything a browser tab sends, receives and says.
type recorder struct {
	mu       sync.Mutex
	kept     []string
	wrong    []string // what the console complains about
	allowed  []string // ends of URLs whose failure the console may report
	requests map[network.RequestID]*exchange
	finished []network.RequestID // whose bodies are still to be read
	seen     []*exchange
}

// An exchange is one request and its response.
type exchange struct {
	method, url string
	status      int64
	response    network.Headers
	done        bool
}

func newRecorder() *recorder {
	return &recorder{requests: map[network.RequestID]*exchange{}}
}

// keep adds a text to what was captured.
func (r *recorder) keep(texts ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = append(r.kept, texts...)
}

// captured returns everything so far.
func (r *recorder) captured() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.kept...)
}

// event keeps every event whole: URLs, headers as sent on the wire, cookies, console.
func (r *recorder) event(ev any) {
	b, err := json.Marshal(ev)
	if err != nil {
		b = fmt.Append(nil, ev)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = append(r.kept, string(b))
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		r.sent(ev)
	case *network.EventResponseReceived:
		if x := r.requests[ev.RequestID]; x != nil {
			x.status, x.response = ev.Response.Status, ev.Response.Headers
		}
	case *network.EventLoadingFinished:
		r.ended(ev.RequestID, true)
	case *network.EventLoadingFailed:
		r.ended(ev.RequestID, false)
	case *log.EventEntryAdded:
		r.logged(ev.Entry)
	case *runtime.EventExceptionThrown:
		r.wrong = append(r.wrong, "exception: "+string(b))
	case *runtime.EventConsoleAPICalled:
		switch ev.Type {
		case runtime.ConsoleAPICalledTypeError, runtime.ConsoleAPICalledTypeWarning, runtime.ConsoleAPICalledTypeAssert:
			r.wrong = append(r.wrong, "console: "+string(b))
		default: // said, not complained
		}
	}
}

func (r *recorder) sent(ev *network.EventRequestWillBeSent) {
	for _, part := range ev.Request.PostDataEntries {
		r.kept = append(r.kept, string(part.Bytes)) // base64 in the event
	}
	if before := r.requests[ev.RequestID]; before != nil && ev.RedirectResponse != nil {
		before.status, before.response = ev.RedirectResponse.Status, ev.RedirectResponse.Headers
	}
	x := &exchange{method: ev.Request.Method, url: ev.Request.URL}
	r.requests[ev.RequestID] = x // a redirect keeps its ID; only the last answer has a body to read
	r.seen = append(r.seen, x)
}

func (r *recorder) ended(id network.RequestID, whole bool) {
	x := r.requests[id]
	if x == nil {
		return
	}
	if !whole || x.method == http.MethodOptions || x.status == http.StatusNoContent {
		x.done = true
		return
	}
	r.finished = append(r.finished, id)
}

func (r *recorder) logged(e *log.Entry) {
	if e.Level != log.EntryLevelError && e.Level != log.EntryLevelWarning {
		return
	}
	for _, end := range r.allowed {
		if e.Source == log.EntrySourceNetwork && strings.HasSuffix(e.URL, end) {
			return
		}
	}
	r.wrong = append(r.wrong, fmt.Sprintf("%s %s: %s (%s)", e.Source, e.Level, e.Text, e.URL))
}

// allow names the end of a URL that is meant to fail.
func (r *recorder) allow(end string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.allowed = append(r.allowed, end)
}

// settle reads the bodies of all responses and waits until nothing is under way. It must run before
// the page is left, for the browser forgets what it does not show.
func (r *recorder) settle(ctx context.Context, t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if id, ok := r.next(); ok {
			body, err := chromedp.Call(ctx, network.GetResponseBody, network.GetResponseBodyParams{RequestID: id})
			r.read(t, id, body.Body, err)
			continue
		}
		waiting := r.waiting()
		if len(waiting) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("requests without an end: %s", strings.Join(waiting, ", "))
		}
	}
}

func (r *recorder) next() (network.RequestID, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.finished) == 0 {
		return "", false
	}
	id := r.finished[0]
	r.finished = r.finished[1:]
	return id, true
}

func (r *recorder) read(t *testing.T, id network.RequestID, body []byte, err error) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.requests[id]
	x.done = true
	if err != nil {
		t.Errorf("the body of %s %s (%d) could not be captured: %v", x.method, x.url, x.status, err)
		return
	}
	r.kept = append(r.kept, string(body))
}

func (r *recorder) waiting() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var open []string
	for _, x := range r.requests {
		if !x.done && strings.HasPrefix(x.url, "http") {
			open = append(open, x.method+" "+x.url)
		}
	}
	return open
}

// answers returns the exchanges of the method whose URL begins with prefix.
func (r *recorder) answers(method, prefix string) []exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []exchange
	for _, x := range r.seen {
		if x.method == method && strings.HasPrefix(x.url, prefix) {
			found = append(found, *x)
		}
	}
	return found
}

// complaints returns what the console complained about.
func (r *recorder) complaints() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.wrong...)
}
