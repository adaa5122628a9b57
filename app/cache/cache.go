// Package cache answers reads from what X answered a moment before, so that what
// X bills by the call is paid once.
package cache

import (
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"mime"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/xapp"
	"perch/ports"
)

// savings are told of calls that X was not asked for.
type savings interface {
	Saved(ctx context.Context, who ports.Caller, call ports.Call, r ports.Reply)
}

// Service keeps answers of X in this process's memory. It is no store: each
// replica has its own, and all of it may go at any time.
type Service struct {
	rules   Rules
	savings savings // nil: nobody counts
	now     func() time.Time
	shelf   *shelf
	seed    maphash.Seed
	turns   [1024]atomic.Uint64

	mu      sync.Mutex
	flights map[takeoff]*flight
}

// New returns a service that keeps nothing yet. Savings may be nil.
func New(rules Rules, s savings, now func() time.Time) *Service {
	return &Service{
		rules: rules, savings: s, now: now, shelf: newShelf(room), seed: maphash.MakeSeed(), flights: map[takeoff]*flight{},
	}
}

// An owner is whose answers may be given to whom: never to another grant, and of
// what the X App asks for itself, to one client application.
type owner struct {
	xapp  xapp.ID
	app   client.AppID
	grant oauth.GrantID
}

func ownerOf(who ports.Caller, call ports.Call) owner { return owner{call.XApp, who.App.ID, who.Grant} }

// A key is all that an answer depends on. Scopes are in it because X shows less
// to whoever was granted less, and a user may connect again with fewer.
type key struct {
	owner
	scopes oauth.Scopes
	action string
	path   string
	query  string
	accept string
}

func (k key) weight() int {
	n := 0
	for _, part := range []string{
		string(k.xapp), string(k.app), string(k.grant), string(k.scopes), k.action, k.path, k.query, k.accept,
	} {
		n += len(part)
	}
	return n
}

func keyOf(who ports.Caller, call ports.Call) (key, bool) {
	path, ok := call.Action.Fill(call.Params)
	query, err := url.ParseQuery(call.Query)
	return key{
		ownerOf(who, call), who.Scopes, call.Action.ID, path, query.Encode(), call.Accept,
	}, ok && err == nil
}

// turn counts the writes of the owner, and of a few others who share the counter:
// what was asked in an earlier turn is not given out any more.
func (s *Service) turn(o owner) *atomic.Uint64 {
	return &s.turns[maphash.Comparable(s.seed, o)%uint64(len(s.turns))]
}

// Enter is paid by no call. A write that X may have performed empties what is
// kept of its grant here.
func (s *Service) Enter(_ context.Context, who ports.Caller, call ports.Call) (ports.Settle, error) {
	return func(_ context.Context, r *ports.Reply, err error) {
		if call.Action.Method != "GET" && !errors.Is(err, ports.ErrUnsent) && (err != nil || r.Status < 400) {
			s.turn(ownerOf(who, call)).Add(1)
		}
	}, nil
}

// Through answers the call from memory, where the rules and the directives of the
// request's Cache-Control (RFC 9111) allow it, or asks. Of many who want the same
// at once, one asks. Cache-Status (RFC 9211) says which it was.
func (s *Service) Through(
	ctx context.Context, who ports.Caller, call ports.Call, header string,
	ask func(context.Context) (ports.Reply, error),
) (ports.Reply, error) {
	k, ok := keyOf(who, call)
	ttl := s.rules[call.Action.ID]
	if ttl == 0 || !ok {
		return ask(ctx)
	}
	want := read(header)
	kept := func() (ports.Reply, bool) {
		a, age, ok := s.find(k, ttl)
		if !ok || want.noStore || !want.takes(age, ttl-age) {
			return ports.Reply{}, false
		}
		return hit(a, age, ttl), true
	}
	if r, ok := kept(); ok {
		s.saved(ctx, who, call, r)
		return r, nil
	}
	if !want.noStore && !want.noCache {
		r, joined, err := s.together(ctx, k, kept, ask)
		if err == nil && joined {
			s.saved(ctx, who, call, r)
		}
		return r, err
	}
	began, turn := s.now(), s.turn(k.owner).Load()
	r, err := ask(ctx)
	if err == nil {
		note(&r, "fwd=request", !want.noStore && s.keep(k, began, turn, r))
	}
	return r, err
}

// find returns what is kept under the key, and its age.
func (s *Service) find(k key, ttl time.Duration) (a answer, age time.Duration, ok bool) {
	a, ok = s.shelf.get(k)
	if !ok {
		return a, 0, false
	}
	age = max(0, s.now().Sub(a.asked))
	if age >= ttl || a.turn != s.turn(k.owner).Load() {
		s.shelf.drop(k, a)
		return a, age, false
	}
	return a, age, true
}

// keep keeps X's answer, if it is whole, good and JSON, and reports whether it did.
func (s *Service) keep(k key, began time.Time, turn uint64, r ports.Reply) bool {
	if r.Status != 200 || r.Whole == nil || len(r.Header["Content-Encoding"]) > 0 {
		return false
	}
	kind := first(r.Header, "Content-Type")
	if t, _, err := mime.ParseMediaType(kind); err != nil || t != "application/json" || !clean(r.Whole) {
		return false
	}
	s.shelf.put(k, answer{body: r.Whole, kind: kind, asked: began, turn: turn})
	return true
}

// clean reports whether the body is an object in which X says nothing of errors.
func clean(body []byte) bool {
	var top map[string]json.RawMessage
	if json.Unmarshal(body, &top) != nil || top == nil {
		return false
	}
	_, failed := top["errors"]
	return !failed
}

func (s *Service) saved(ctx context.Context, who ports.Caller, call ports.Call, r ports.Reply) {
	if s.savings != nil && r.Status == 200 {
		s.savings.Saved(ctx, who, call, r)
	}
}

func first(h map[string][]string, name string) string {
	if len(h[name]) == 0 {
		return ""
	}
	return h[name][0]
}

// Headers of answers.
const (
	statusHeader = "Cache-Status"
	ageHeader    = "Age"
	costHeader   = "Perch-Cost"
)

// hit is the reply that an answer becomes. Of X's headers only the type is given
// again: what the others said is of then.
func hit(a answer, age, ttl time.Duration) ports.Reply {
	return whole(200, a.body, map[string][]string{
		"Content-Type": {a.kind}, costHeader: {"0.00"},
		ageHeader:    {strconv.FormatInt(int64(age/time.Second), 10)},
		statusHeader: {"perch; hit; ttl=" + strconv.FormatInt(int64((ttl-age)/time.Second), 10)},
	})
}

// note says in Cache-Status why X was asked, and whether its answer is kept.
func note(r *ports.Reply, why string, stored bool) {
	if r.Header == nil {
		r.Header = map[string][]string{}
	}
	if stored {
		why += "; stored"
	}
	r.Header[statusHeader] = []string{"perch; " + why}
}
