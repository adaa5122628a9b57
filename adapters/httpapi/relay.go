package httpapi

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"perch/domain/xapi"
	"perch/ports"
)

// relay hands X's reply on as it comes: its status, the headers a client may
// see, and its bytes.
func (s *Server) relay(r *request, act xapi.Action, reply ports.Reply) error {
	res := r.c.Response()
	res.SetStatusCode(reply.Status)
	for name, values := range reply.Header {
		if reserved(name) {
			continue
		}
		for _, v := range values {
			res.Header.Add(name, v)
		}
	}
	if reply.Status == http.StatusNoContent || reply.Status == http.StatusNotModified || reply.Length == 0 {
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
