package quotas_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"perch/domain/fault"
	"perch/domain/quota"
	"perch/ports"
)

// TestAnErrorSaysWhatIsLeft: of a call that X never saw nothing is used.
func TestAnErrorSaysWhatIsLeft(t *testing.T) {
	for name, v := range map[string]struct {
		err  error
		left string
	}{
		"X may have seen it": {fault.New(fault.Upstream, "a web page"), `"grant/h";r=9;t=`},
		"X was not asked":    {fault.New(fault.Unavailable, "no way to X").Because(ports.ErrUnsent), `"grant/h";r=10;t=`},
	} {
		w := newWorld(t, 1, 1, nil, "grant:10/h")
		settle, err := w.quotas[0].Enter(t.Context(), w.caller(0), w.call(posts))
		must(t, err)
		var reply ports.Reply
		settle(t.Context(), &reply, v.err)
		if got := reply.Header["Ratelimit"]; len(got) != 1 || !strings.HasPrefix(got[0], v.left) {
			t.Errorf("%s: %q, want %s", name, got, v.left)
		}
	}
}

// TestARefusalForXsSakeSaysWhatIsLeftOfOurs, of which it has used nothing.
func TestARefusalForXsSakeSaysWhatIsLeftOfOurs(t *testing.T) {
	for limited, refused := range map[string]func(w *world) (ports.Caller, ports.Call){
		"x-user": func(w *world) (ports.Caller, ports.Call) { // which is used up
			w.answer(t, w.caller(0), posts, ports.Reply{Status: 201, Windows: []quota.Window{
				w.says(quota.Short, 100, 0, 300*time.Second),
			}}, nil)
			return w.caller(0), w.call(posts)
		},
		"x-user, turning": func(w *world) (ports.Caller, ports.Call) {
			w.answer(t, w.caller(0), posts, ports.Reply{Status: 201, Windows: []quota.Window{
				w.says(quota.Short, 100, 99, 300*time.Second),
			}}, nil)
			w.advance(300 * time.Second)
			return w.caller(0), w.call(posts)
		},
		"batch": func(w *world) (ports.Caller, ports.Call) {
			w.answer(t, w.caller(0), posts, ports.Reply{Status: 201, Windows: []quota.Window{
				w.says(quota.Short, 100, 10, 300*time.Second),
			}}, nil)
			who := w.caller(0)
			who.Batch = true
			return who, w.call(posts)
		},
	} {
		w := newWorld(t, 1, 1, nil, "grant:10/h")
		who, call := refused(w)
		_, err := w.quotas[0].Enter(t.Context(), who, call)
		e := problem(t, err)
		of, _, _ := strings.Cut(limited, ",")
		if e.Slug != "x-rate-limit" || e.Extra["limited"] != of || !strings.HasPrefix(e.Head["Ratelimit"], `"grant/h";r=9;t=`) ||
			e.Head["Ratelimit-Policy"] != `"grant/h";q=10;w=3600` {
			t.Errorf("%s: %+v", limited, e)
		}
	}
}

// TestARefusalForItsShareSaysWhatIsLeftOfOurs: X allows the X App 15 lists.
func TestARefusalForItsShareSaysWhatIsLeftOfOurs(t *testing.T) {
	w := newWorld(t, 1, 1, nil, "app:100/h")
	for i := range 30 {
		who := w.caller(min(i, 1)) // the first is there, the second wants all
		who.User = ""
		_, err := w.quotas[0].Enter(t.Context(), who, w.call(lists))
		if err == nil {
			continue
		}
		if e := problem(t, err); e.Extra["limited"] != "share" || !strings.HasPrefix(e.Head["Ratelimit"], `"app/h";r=9`) {
			t.Errorf("%+v", e)
		}
		return
	}
	t.Error("nobody was refused")
}

// A clerk is a store that keeps the last charges it was asked for.
type clerk struct {
	ports.QuotaStore
	last []quota.Charge
}

func (c *clerk) Spend(ctx context.Context, at time.Time, charges []quota.Charge) (quota.Verdict, error) {
	c.last = charges
	return c.QuotaStore.Spend(ctx, at, charges)
}

// TestOnlyAddressesAreOfACrowd: of nothing else can anybody bring as many as he likes.
func TestOnlyAddressesAreOfACrowd(t *testing.T) {
	store := &clerk{QuotaStore: newCounter()}
	w := newWorld(t, 1, 1, store, "address:9/d", "grant:9/d", "key:9/d", "app:9/d")
	_, err := w.quotas[0].Arrive(t.Context(), netip.MustParseAddr("2001:db8::1"))
	must(t, err)
	if len(store.last) != 1 || store.last[0].Crowd != "address6:2001:db8::/32" {
		t.Errorf("%+v", store.last)
	}
	_, err = w.quotas[0].Enter(t.Context(), w.caller(0), w.call(unpublished))
	must(t, err)
	for _, c := range store.last {
		if c.Crowd != "" {
			t.Errorf("%+v", c)
		}
	}
}
