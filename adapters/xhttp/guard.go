package xhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sony/gobreaker/v2"

	"perch/domain/fault"
	"perch/domain/xapi"
	"perch/ports"
)

// A guard stands between the calls and X. It lets through what has a chance to
// be answered, and learns from what became of it.
type guard struct {
	stops   []*stops
	failing *circuits // by X App and group
	storms  *storms   // by X App: it refuses everybody's tokens
	rooms   map[string]*room

	enough time.Duration // for X, before the end of a call's own time is X's failure
}

func newGuard(cfg Config) *guard {
	o := cfg.Observer
	g := &guard{
		stops: []*stops{
			newStops(xapi.RateLimited, "x.rate_limit", false, o), // whose windows others keep
			newStops(xapi.UsageCapped, "x.usage_cap", true, o),
			newStops(xapi.OutOfCredits, "x.out_of_credits", true, o),
		},
		failing: newCircuits("x.breaker", "X fails for many calls of this group at once", cfg.Rest, o),
		storms:  newStorms(cfg.Rest, o),
		rooms:   map[string]*room{uploading: newRoom(cfg.Uploads, cfg.WaitTimeout)},

		enough: min(cfg.WaitTimeout, time.Minute) * 3 / 4,
	}
	for _, group := range []string{messaging, reading, writing} {
		g.rooms[group] = newRoom(cfg.Calls, cfg.WaitTimeout)
	}
	return g
}

// An outcome is what became of a call.
type outcome struct {
	action  string
	reply   ports.Reply
	failure error // X's; nil if it answered as it should, errUntried if nobody can say
	trouble xapi.Trouble
	wait    time.Duration // that the trouble takes
}

// A pass is a call that was let through.
type pass struct {
	settle []func(outcome)
	leave  []func()  // what the call holds as long as the reply's body comes
	since  time.Time // X was about to be asked
}

// enter lets a call through, or refuses it before anything is sent.
func (g *guard) enter(ctx context.Context, c ports.Call) (*pass, error) {
	p := &pass{}
	for _, way := range []func(context.Context, ports.Call, *pass) error{g.held, g.shut, g.wait, g.open, g.heard} {
		if err := way(ctx, c, p); err != nil {
			p.end(outcome{failure: errUntried})
			p.close()
			return nil, err
		}
	}
	p.since = time.Now()
	return p, nil
}

// held refuses what X would refuse. An X App without credits still does what
// costs nothing, and a cap is that of a group.
func (g *guard) held(_ context.Context, c ports.Call, p *pass) error {
	group := groupOf(c.Action)
	for _, h := range g.stops {
		at := spot{c.XApp, group}
		if h.trouble == xapi.OutOfCredits {
			if _, priced := xapi.PriceOf(c.Action); !priced {
				continue
			}
			at.group = ""
		}
		settle, err := h.enter(at)
		if err != nil {
			return err
		}
		p.settle = append(p.settle, settle)
	}
	return nil
}

// shut refuses at once what would find the breaker open after it has waited.
func (g *guard) shut(_ context.Context, c ports.Call, _ *pass) error {
	if one := g.failing.at(spot{c.XApp, groupOf(c.Action)}); one.State() == gobreaker.StateOpen {
		return g.broken(one, gobreaker.ErrOpenState)
	}
	return nil
}

func (g *guard) wait(ctx context.Context, c ports.Call, p *pass) error {
	room := g.rooms[groupOf(c.Action)]
	if room == nil {
		return nil
	}
	leave, err := room.enter(ctx, c.App)
	if err == nil {
		p.leave = append(p.leave, leave)
	}
	return err
}

// open asks the breaker of the group.
func (g *guard) open(_ context.Context, c ports.Call, p *pass) error {
	one := g.failing.at(spot{c.XApp, groupOf(c.Action)})
	done, err := one.Allow()
	if err != nil {
		return g.broken(one, err)
	}
	p.settle = append(p.settle, func(o outcome) { one.told(done, o.failure) })
	return nil
}

// heard asks whether X takes the tokens of the X App's users.
func (g *guard) heard(_ context.Context, c ports.Call, p *pass) error {
	if c.Token.Empty() {
		return nil
	}
	settle, err := g.storms.enter(c)
	if err == nil {
		p.settle = append(p.settle, settle)
	}
	return err
}

func (g *guard) broken(one *circuit, why error) error {
	return fault.New(fault.Unavailable, "X fails too often at the moment, so Perch leaves it alone for a while; nothing "+
		"was sent, so it is safe to try again after the time in Retry-After").
		Named("x-breaker-open").After(g.failing.wait(one)).Because(errors.Join(ports.ErrUnsent, why))
}

func (p *pass) end(o outcome) {
	for _, settle := range slices.Backward(p.settle) {
		settle(o)
	}
}

func (p *pass) close() {
	for _, leave := range slices.Backward(p.leave) {
		leave()
	}
}

// settle learns from what became of a call, and says what the client is to know.
func (g *guard) settle(ctx context.Context, c ports.Call, p *pass, reply ports.Reply, err error) (ports.Reply, error) {
	o := outcome{action: c.Action.ID, reply: reply, failure: failureOf(ctx, c, reply, err)}
	if err != nil && ctx.Err() != nil && time.Since(p.since) < g.enough {
		o.failure = errUntried // the call's own time was too short to tell
	}
	if err == nil {
		o.trouble = xapi.TroubleOf(reply.Status, reply.Whole)
	}
	if o.trouble != xapi.NoTrouble {
		o.wait = wait(o.trouble, reply.Header)
		reply.Header["Retry-After"] = []string{strconv.FormatInt(int64((o.wait+time.Second-1)/time.Second), 10)}
	}
	p.end(o)
	if err == nil && reply.Status == http.StatusUnauthorized && c.Fresh { // others get a fresh token first
		if err := g.storms.during(c.XApp); err != nil {
			_ = reply.Body.Close()
			return ports.Reply{
				Status: reply.Status, Transaction: reply.Transaction, Windows: reply.Windows, Lost: reply.Lost,
			}, err
		}
	}
	return reply, err
}

// wait is how long a trouble takes, as far as X says.
func wait(t xapi.Trouble, header http.Header) time.Duration {
	if t != xapi.RateLimited { // no window explains it, though X sends some
		header = http.Header{"Retry-After": header["Retry-After"]}
	}
	if said := retryAfter(header, time.Now()); said > 0 {
		return said
	}
	return map[xapi.Trouble]time.Duration{
		xapi.RateLimited: time.Minute, xapi.UsageCapped: time.Hour, xapi.OutOfCredits: 5 * time.Minute,
	}[t]
}

// answered says what X answered, and what X's support can find it by.
func answered(r ports.Reply) error {
	if r.Transaction == "" {
		return fmt.Errorf("status %d from X", r.Status)
	}
	return fmt.Errorf("status %d from X, transaction %s", r.Status, r.Transaction)
}

// failureOf is X's failure in what became of a call. What the client did itself
// says nothing of X, nor does an answer that blames the client.
func failureOf(ctx context.Context, c ports.Call, reply ports.Reply, err error) error {
	gone := ctx.Err() != nil && (c.Action.Body == xapi.Upload || !errors.Is(context.Cause(ctx), context.DeadlineExceeded))
	switch {
	case err == nil && reply.Status < http.StatusInternalServerError, reply.Status/100 == 4:
		return nil
	case err == nil:
		return answered(reply)
	case gone, !strings.HasPrefix(fault.SlugOf(err), "x-"):
		return errUntried
	}
	return err
}
