package actions_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/app/actions"
	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/quota"
	"perch/ports"
)

// A board has one key, as it is now.
type board struct{ key apikey.Key }

func (b board) Get(context.Context, apikey.ID) (apikey.Key, error) { return b.key, nil }

// register has one application.
type register struct{ app client.App }

func (r register) Get(context.Context, client.AppID) (client.App, error) { return r.app, nil }

// later is a house that performs what was accepted, at the time that now points to.
func later(t *testing.T) (h *house, now *time.Time) {
	t.Helper()
	h = newHouse(t, quota.Limit{})
	now = new(time.Time)
	*now = time.Now()
	h.Apps, h.Keys = register{h.app}, board{h.key()}
	h.Now = func() time.Time { return *now }
	return h, now
}

// key may do everything that the application may.
func (h *house) key() apikey.Key { return apikey.Key{ID: "key_1", App: h.app.ID, Kind: apikey.Secret} }

func (h *house) parcel(action string) delivery.Delivery {
	return delivery.Delivery{
		ID: "dlv_1", App: h.app.ID, Grant: h.grant.ID, Actor: "key_1", Action: action, Key: "k",
		Until: h.Now().Add(time.Minute),
	}
}

func post(text string) delivery.Call {
	return delivery.Call{Request: "req_1", Type: "application/json", Body: fmt.Sprintf(`{"text":%q}`, text)}
}

// A purse is a toll that lets nothing in, now or ever.
type purse struct{ booth }

func (purse) Fits(who ports.Caller, call ports.Call) error {
	return fault.New(fault.Forbidden, "%s of %s is too dear for %s", call.Action.ID, who.Grant, who.App.ID).Named("too-dear")
}

// What no toll would ever let in is refused when it is to be taken over. Later that
// is the toll's to say, which looks at the key first.
func TestWhatNeverFitsIsNotTakenOver(t *testing.T) {
	h, _ := later(t)
	var log []string
	h.Tolls = actions.Tolls(booth{"limits", &log, false}, purse{booth{"money", &log, true}})
	err := h.Allows(t.Context(), h.parcel("createPosts"), post("a"))
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Slug != "too-dear" || len(log) > 0 ||
		f.Say != fmt.Sprintf("createPosts of %s is too dear for %s", h.grant.ID, h.app.ID) {
		t.Errorf("%q, %v", log, err)
	}
	if _, err = h.Deliver(t.Context(), h.parcel("createPosts"), post("a")); fault.SlugOf(err) != "closed-money" {
		t.Errorf("delivered: %v", err)
	}
}

func TestADeliveryIsPerformedAsItsKeyAllowsItByThen(t *testing.T) {
	for name, v := range map[string]struct {
		edit func(*apikey.Key)
		slug string
	}{
		"a key as it was":             {func(*apikey.Key) {}, ""},
		"one that ends later":         {func(k *apikey.Key) { k.Expires = time.Now().Add(time.Hour) }, ""},
		"one that still may do it":    {func(k *apikey.Key) { k.Actions = []string{"post"} }, ""},
		"one that expired":            {func(k *apikey.Key) { k.Expires = time.Now().Add(-time.Second) }, "key-expired"},
		"one that was rotated":        {func(k *apikey.Key) { *k = k.Until(time.Now().Add(-time.Second)) }, "key-expired"},
		"one that was revoked":        {func(k *apikey.Key) { k.Revoked = time.Now() }, "key-revoked"},
		"one that may only read":      {func(k *apikey.Key) { k.Actions = []string{"read"} }, "key-action-not-allowed"},
		"one that is bound elsewhere": {func(k *apikey.Key) { k.Grants = []oauth.GrantID{"grant_other"} }, "bound-key"},
	} {
		h, _ := later(t)
		key := h.key()
		v.edit(&key)
		h.Keys = board{key}
		reply, err := h.Deliver(t.Context(), h.parcel("createPosts"), post(name))
		if v.slug == "" {
			if err != nil || reply.Status != 201 {
				t.Errorf("%s: %d %v", name, reply.Status, err)
			}
			continue
		}
		if fault.SlugOf(err) != v.slug || fault.KindOf(err) != fault.Forbidden || !errors.Is(err, ports.ErrUnsent) ||
			h.calls("createPosts") != 0 {
			t.Errorf("%s: X was asked %d times, %v", name, h.calls("createPosts"), err)
		}
	}
}

func TestADeliveryForTheXAppNeedsAKeyThatMayStillActForIt(t *testing.T) {
	h, _ := later(t)
	d, c := h.parcel("getUsage"), delivery.Call{Request: "req_1", AppOnly: true}
	d.Grant = ""
	if _, err := h.Deliver(t.Context(), d, c); fault.SlugOf(err) != "app-only" {
		t.Errorf("a key that may not any more: %v", err)
	}
	key := h.key()
	key.AppOnly, key.Grants = true, []oauth.GrantID{"grant_1", "grant_2"}
	h.Keys = board{key}
	if reply, err := h.Deliver(t.Context(), d, c); err != nil || reply.Status != 200 {
		t.Errorf("a key that may: %d %v", reply.Status, err)
	}
}

// A slow toll takes its time.
type slowly func()

func (s slowly) Enter(context.Context, ports.Caller, ports.Call) (ports.Settle, error) {
	s()
	return func(context.Context, *ports.Reply, error) {}, nil
}

// A ledger takes its time to write down that X is about to be asked.
type ledger func()

func (l ledger) Once(
	ctx context.Context, _ ports.Caller, _ string, _ ports.Call, _ []byte,
	ask func(context.Context, func(context.Context) error) (ports.Reply, error),
) (ports.Reply, error) {
	return ask(ctx, func(context.Context) error { l(); return nil })
}

// slowX answers when time has passed.
type slowX struct {
	ports.TwitterGateway
	pass func()
}

func (x slowX) Do(ctx context.Context, c ports.Call) (ports.Reply, error) {
	defer x.pass()
	return x.TwitterGateway.Do(ctx, c)
}

// queue is an X before which a call waits until time has passed.
type queue struct {
	ports.TwitterGateway
	pass func()
}

func (x queue) Do(ctx context.Context, c ports.Call) (ports.Reply, error) {
	x.pass()
	return x.TwitterGateway.Do(ctx, c)
}

// Whoever stood still for longer than his turn finds the key free if X refused
// somebody else meanwhile, and the delivery cancelled since.
func TestXIsNotAskedByWhoHasNotTheTurnAnyMore(t *testing.T) {
	h, now := later(t)
	d := h.parcel("createPosts")
	d.Until, d.Lease = now.Add(time.Hour), delivery.Lease{Holder: "me", Until: now.Add(time.Minute)}
	for _, behind := range []time.Duration{0, 2 * time.Second} { // a clock may be
		*now = d.Lease.Until.Add(-behind)
		if _, err := h.Deliver(t.Context(), d, post("late")); fault.SlugOf(err) != delivery.TooLate ||
			!errors.Is(err, ports.ErrUnsent) || h.calls("createPosts") != 0 {
			t.Errorf("X was asked %d times, %v", h.calls("createPosts"), err)
		}
	}
	*now = now.Add(-15 * time.Second)
	if reply, err := h.Deliver(t.Context(), d, post("in time")); err != nil || reply.Status != 201 {
		t.Errorf("in his turn: %d %v", reply.Status, err)
	}
}

func TestXIsNotAskedWhenTheTimeOfADeliveryIsOver(t *testing.T) {
	for name, v := range map[string]struct {
		slow func(h *house, pass func())
		asks int
	}{
		"from the beginning":         {func(_ *house, pass func()) { pass() }, 0},
		"after the tolls":            {func(h *house, pass func()) { h.Tolls = actions.Tolls(slowly(pass)) }, 0},
		"after it was written down":  {func(h *house, pass func()) { h.Replays = ledger(pass) }, 0},
		"while it waits at the gate": {func(h *house, pass func()) { h.X = queue{h.X, pass} }, 0},
		"before X is asked again":    {func(h *house, pass func()) { h.X = slowX{h.X, pass} }, 1},
	} {
		h, now := later(t)
		d := h.parcel("createPosts")
		h.x.Mischief(xsim.Mischief{Match: "createPosts", Kind: "unauthorized", Times: 1})
		v.slow(h, func() { *now = d.Until })
		reply, err := h.Deliver(t.Context(), d, post(name))
		unsent := errors.Is(err, ports.ErrUnsent) || reply.Status == 401
		if fault.SlugOf(err) != delivery.TooLate || !unsent || h.calls("createPosts") != v.asks {
			t.Errorf("%s: X was asked %d times, %d %v", name, h.calls("createPosts"), reply.Status, err)
		}
	}
}
