package httpapi

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"perch/domain/fault"
	"perch/domain/xapi"
	"perch/ports"
)

// relay hands X's reply on as it comes: its status, the headers a client may
// see, and its bytes.
func (s *Server) relay(r *request, act xapi.Action, reply ports.Reply) error {
	res := r.c.Response()
	res.SetStatusCode(reply.Status)
	r.headersOf(reply)
	if refused := xapi.TroubleOf(reply.Status, reply.Whole).Fault(reply.Whole); refused != nil {
		_ = reply.Body.Close()
		s.explain(r, refused, reply)
		return nil
	}
	if reply.Status == http.StatusNoContent || reply.Length == 0 {
		_ = reply.Body.Close()
		return nil
	}
	out := &outflow{from: reply.Body, r: r, wait: s.wait.write}
	out.stall = time.AfterFunc(time.Hour, func() { r.cancel(errStalled) })
	out.stall.Stop()
	r.lent = true
	res.ImmediateHeaderFlush = act.Stream
	res.SetBodyStream(out, int(reply.Length))
	return nil
}

func (r *request) headersOf(reply ports.Reply) {
	for name, values := range reply.Header {
		if reserved(name) {
			continue
		}
		for _, v := range values {
			r.c.Response().Header.Add(name, v)
		}
	}
}

// limitsOf keeps of a reply, beside which there is an error, what it says of limits.
func (r *request) limitsOf(reply ports.Reply) {
	for name, values := range reply.Header {
		for _, of := range []string{"Ratelimit", "X-Rate-Limit-", "X-User-Limit-24hour-", "X-App-Limit-24hour-"} {
			if strings.HasPrefix(name, of) && len(values) > 0 {
				r.c.Response().Header.Set(name, values[0])
			}
		}
	}
}

// explain answers with X's refusal in Perch's words and X's own. Clients that
// read the errors of the older API find them where they look.
func (s *Server) explain(r *request, refused *fault.Error, reply ports.Reply) {
	p := problemOf(refused)
	p.status = reply.Status
	doc := p.members(r.id)
	var theirs struct {
		Errors json.RawMessage `json:"errors"`
	}
	if json.Unmarshal(reply.Whole, &theirs) == nil {
		doc["x"] = json.RawMessage(reply.Whole)
		if theirs.Errors != nil {
			doc["errors"] = theirs.Errors
		}
	}
	if s.noticed(r, p) {
		s.notice(r, p, refused)
	}
	r.c.Response().Header.Del(fiber.HeaderContentType)
	r.c.Response().Header.Del(fiber.HeaderContentEncoding) // of X's body
	r.json(problemJSON, doc)
}

// reserved reports whether a header is ours to set, whatever X says: framing,
// cookies, and who may read the reply.
func reserved(name string) bool {
	switch n := strings.ToLower(name); n {
	case "connection", "content-length", "date", "keep-alive", "server", "set-cookie", "trailer",
		"transfer-encoding", "upgrade", "vary", "location", "perch-request-id", "cache-control",
		"strict-transport-security", "content-security-policy", "www-authenticate":
		return true
	default:
		return strings.HasPrefix(n, "access-control-")
	}
}

var (
	errStalled = errors.New("nothing more comes from X")
	errBroken  = errors.New("the reply of X broke off")
)

// An outflow is X's reply on its way to the client. An error of X's is an error
// here, so that a reply that broke off never looks whole.
type outflow struct {
	from  io.ReadCloser
	r     *request
	wait  time.Duration
	stall *time.Timer
}

func (o *outflow) Read(p []byte) (int, error) {
	o.stall.Reset(o.wait)
	n, err := o.from.Read(p)
	o.stall.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = errBroken
	}
	_ = o.r.conn.SetWriteDeadline(time.Now().Add(o.wait))
	return n, err
}

// Close is called by fasthttp when the reply is written, or cannot be.
func (o *outflow) Close() error {
	o.stall.Stop()
	o.r.cancel(nil)
	err := o.from.Close()
	o.r.end()
	_ = o.r.conn.SetWriteDeadline(time.Now().Add(o.wait)) // for what is still in fasthttp's buffer
	return err
}
