package xhttp

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"perch/domain/fault"
	"perch/domain/xapi"
	"perch/ports"
)

// Do performs the action if X has a chance to answer it, and repeats what may be
// repeated.
func (g *Gateway) Do(ctx context.Context, c ports.Call) (ports.Reply, error) {
	target, err := g.target(c)
	if err != nil {
		return ports.Reply{}, errors.Join(err, ports.ErrUnsent)
	}
	header, err := g.header(c)
	if err != nil {
		return ports.Reply{}, errors.Join(err, ports.ErrUnsent)
	}
	pass, err := g.guard.enter(ctx, c)
	if err != nil {
		return ports.Reply{}, err
	}
	ctx, end := asked(ctx, c)
	pass.leave = append(pass.leave, end)
	reply, err := g.steady(ctx, c, func() (ports.Reply, *outgoing, error) {
		return g.ask(ctx, c, target, header)
	})
	if reply.Status == http.StatusUnauthorized {
		g.bearers.forget(c.XApp, c.Token)
	}
	reply, err = g.guard.settle(ctx, c, pass, reply, err)
	if err != nil || reply.Whole != nil {
		pass.close()
		return reply, err
	}
	reply.Body = &incoming{ReadCloser: reply.Body, done: pass.close}
	return reply, nil
}

// asked is the context of a call that X is about to be asked. A write goes on to
// its own deadline when the client leaves: what X has been asked it does, and
// somebody has to know what came of it. What streams ends with its client.
func asked(ctx context.Context, c ports.Call) (context.Context, context.CancelFunc) {
	streamed := c.Action.Stream || c.Action.Body == xapi.Upload && c.Body != nil
	if c.Action.Method == http.MethodGet || streamed || ctx.Err() != nil {
		return ctx, func() {}
	}
	if until, ok := ctx.Deadline(); ok {
		return context.WithDeadline(context.WithoutCancel(ctx), until)
	}
	return context.WithCancel(context.WithoutCancel(ctx))
}

// ask asks once, and reads the answer as far as it is kept.
func (g *Gateway) ask(
	ctx context.Context, c ports.Call, target *url.URL, header http.Header,
) (ports.Reply, *outgoing, error) {
	res, body, out, err := g.send(ctx, c, target, header) //nolint:bodyclose // body is the answer's
	if err != nil {
		return ports.Reply{}, out, err
	}
	reply, err := g.reply(ctx, c.Action, res, body)
	return reply, out, err
}

// target is where the call goes: the host of the settings, the path of the
// catalogue, and the query written anew.
func (g *Gateway) target(c ports.Call) (*url.URL, error) {
	path, query, err := c.Action.Address(c.Params, c.Query)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(g.api + path)
	if err != nil {
		return nil, fault.New(fault.Internal, "").Because(err)
	}
	u.RawQuery = query
	return u, nil
}

// header is everything X is sent. What a client's request held besides is not
// here, so it cannot pass; least of all an Idempotency-Key, for which net/http
// would send a POST again.
func (g *Gateway) header(c ports.Call) (http.Header, error) {
	said, err := c.Action.Headers(c.Accept, c.Type, c.Body != nil && c.Length != 0)
	if err != nil {
		return nil, err
	}
	h := http.Header{"User-Agent": {g.agent}}
	for name, value := range said {
		h.Set(name, value)
	}
	if !c.Token.Empty() {
		if !printable(c.Token.Reveal()) {
			return nil, fault.New(fault.Internal, "")
		}
		h.Set("Authorization", "Bearer "+c.Token.Reveal())
	}
	return h, nil
}

// send makes one request. The reply's body, once closed, ends what belongs to it.
func (g *Gateway) send(
	ctx context.Context, c ports.Call, target *url.URL, header http.Header,
) (*http.Response, *incoming, *outgoing, error) {
	var w wire
	watched, cancel := w.watch(ctx)
	out := bodyOf(c)
	req := (&http.Request{
		Method: c.Action.Method, URL: target, Host: target.Host, Header: header, Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(watched)
	if out.from != nil {
		req.Body, req.ContentLength = out, c.Length
	}
	if err := ports.Check(ctx); err != nil {
		cancel(nil)
		return nil, nil, out, errors.Join(err, ports.ErrUnsent)
	}
	res, err := g.roundTrip(req)
	if err != nil {
		out.detach()
		cancel(nil)
		if failed := out.failed.Load(); failed != nil {
			return nil, nil, out, *failed
		}
		return nil, nil, out, w.fault(ctx, err, inDoubt(c.Action))
	}
	return res, &incoming{ReadCloser: res.Body, cut: cancel, ended: watched, done: func() {
		out.detach()
		cancel(nil)
	}}, out, nil
}

// roundTrip returns when the context ends even if the body is stuck in a read,
// for which net/http would wait over HTTP/1.1.
func (g *Gateway) roundTrip(req *http.Request) (*http.Response, error) {
	if req.Body == http.NoBody {
		return g.transport.RoundTrip(req)
	}
	type answer struct {
		res *http.Response
		err error
	}
	answers := make(chan answer)
	go func() {
		res, err := g.transport.RoundTrip(req)
		select {
		case answers <- answer{res, err}:
		case <-req.Context().Done():
			if err == nil {
				_ = res.Body.Close()
			}
		}
	}()
	select {
	case a := <-answers:
		return a.res, a.err
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	}
}
