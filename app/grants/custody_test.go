package grants_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"perch/adapters/xhttp/xsim"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/xapp"
)

// What X gave is never lost by us, whatever happens and in whatever order: calls,
// revocations, new consents, stores that fail before or after they kept something,
// processes that die anywhere, X in trouble. If the answer of X reached a process
// that lived long enough to write it down, the grant works in the end; and X sees
// a refresh token a second time only where its answer was lost on the way.
//
// Machines whose process died come back before the lease runs out. One that stays
// away longer takes what X gave with it.
func TestCustody(t *testing.T) {
	steps := map[string]func(*world, *rapid.T){
		"access": (*world).access, "a crowd": (*world).crowd, "distrust": (*world).distrust, "revoke": (*world).revoke,
		"connect": (*world).connect, "dies": (*world).dies, "keeper": (*world).keeper, "time": (*world).time,
		"meanwhile": (*world).meanwhile, "disconnect at X": (*world).disconnect,
	}
	// In proportion to how often they lead on.
	names := []string{
		"access", "access", "a crowd", "distrust", "revoke", "connect", "dies", "dies", "keeper", "time", "time", "time",
		"meanwhile", "meanwhile", "disconnect at X",
	}
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), 1, 40).Draw(t, "steps") {
			w.excused, w.consented = false, false
			steps[name](w, t)
			w.check(t)
		}
		w.finally(t)
	})
}

// check holds after every step.
func (w *world) check(t *rapid.T) {
	g := w.stored(t)
	switch {
	case g.Generation < w.last.Generation:
		t.Fatalf("the generation fell from %d to %d", w.last.Generation, g.Generation)
	case w.last.State == oauth.Revoked && !w.consented && (g.State != oauth.Revoked || g.Generation != w.last.Generation):
		t.Fatalf("a revoked grant came back: %+v", g)
	}
	w.last, w.past = g, append(w.past, g)
	_, newest, replayed := w.families()
	family := w.familyOf(t, g)
	if g.State != oauth.Revoked && newest[family] != w.trace(t, g.Refresh) && !w.lost[family] {
		journaled := false
		for _, r := range w.journaled(t) {
			journaled = journaled || newest[family] == w.trace(t, r.Pair.Refresh)
		}
		if !journaled && !w.excused {
			t.Fatal("what X gave is neither in the vault nor in a journal")
		}
		w.lost[family] = !journaled
	}
	for _, f := range replayed {
		if !w.lost[f] {
			t.Fatalf("X saw a spent token of %s, and none of its answers was lost", f)
		}
	}
	if older(family, w.family) {
		t.Fatalf("tokens of %s are in the place of those of %s, which came later", family, w.family)
	}
	switch {
	case family != "":
		w.family = family
	case g.State != oauth.Revoked:
		t.Fatalf("its tokens were forgotten: %+v", g)
	case w.consented && w.killed(w.offered):
		w.family = w.offered
	case !w.killed(w.family) && len(w.journaled(t)) == 0:
		t.Fatalf("the grant has ended, and %s lives on at X", w.family)
	}
}

// finally everything heals and some time passes.
func (w *world) finally(t *rapid.T) {
	for _, r := range w.replicas {
		w.start(r)
	}
	w.excused, w.consented = false, false
	w.pass(t, 3*time.Hour)
	w.check(t)
	if left := w.journaled(t); len(left) > 0 {
		t.Fatalf("%d renewals are still in a journal", len(left))
	}
	g := w.stored(t)
	if family := w.familyOf(t, g); g.State == oauth.Revoked || w.lost[family] || w.ended[family] {
		w.replicas[1].connected(t, w)
	}
	before := w.refreshed()
	for _, r := range w.replicas {
		g = w.stored(t)
		token, err := r.Access(t.Context(), g)
		if err != nil || !w.accepts(t, token) {
			t.Fatalf("in the end the grant does not work: %v; it was %+v", err, g)
		}
	}
	if n := w.refreshed() - before; n > 1 {
		t.Fatalf("in the end X refreshed %d times", n)
	}
	w.check(t)
}

// one draws a replica.
func (w *world) one(t *rapid.T) *replica { return w.replicas[rapid.IntRange(0, 1).Draw(t, "replica")] }

// trouble arms what may go wrong during a step, mostly nothing, and returns how
// to end it and whether a single caller may notice.
func (w *world) trouble(t *rapid.T, r *replica) (calm func(), hurts bool) {
	hurts = true
	kind := rapid.SampledFrom([]string{
		"", "", "", "", "before", "after", "refused", "lost", "torn", "outage", "done, but an outage", "unauthorized",
		"rate_limit", "html",
	}).Draw(t, "trouble")
	w.calm = kind == ""
	m := xsim.Mischief{Match: "token.refresh_token", Kind: kind}
	switch kind {
	case "":
		return func() {}, false
	case "before":
		n := rapid.IntRange(1, 3).Draw(t, "n")
		r.vault.FailBefore(n)
		hurts = n == 1 // later ones hit what must be stored, come what may
	case "after":
		n := rapid.IntRange(1, 3).Draw(t, "n")
		r.vault.FailAfter(n)
		hurts = n == 1
	case "done, but an outage":
		m.Kind, m.Execute = "outage", true
		fallthrough
	case "lost", "torn":
		w.excused = true
		fallthrough
	default:
		w.x.Mischief(m)
	}
	return func() {
		w.x.ClearMischief()
		r.vault.FailBefore(0)
		r.vault.FailAfter(0)
	}, hurts
}

// smooth reports whether there is no reason for the grant not to work.
func (w *world) smooth(t *rapid.T, g oauth.Grant) bool {
	family := w.familyOf(t, g)
	return g.State == oauth.Active && !g.Unsettled() && g.Retry.Before(time.Now()) && !w.lost[family] && !w.ended[family]
}

// asked is what came of asking a replica for an access token.
func (w *world) asked(t *rapid.T, r *replica, g oauth.Grant, smooth bool) error {
	patience := 30 * time.Millisecond
	if smooth {
		patience = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	token, err := r.Access(ctx, g)
	switch {
	case g.State == oauth.Revoked && !oauth.IsRevoked(err):
		return errors.New("a revoked grant was used")
	case err == nil && token.Empty():
		return errors.New("there is neither a token nor an error")
	case smooth && err != nil:
		return errors.Join(errors.New("nothing was wrong"), err)
	case smooth && !w.accepts(t, token):
		return errors.New("nothing was wrong, and X refuses the token")
	}
	return nil
}

func (w *world) access(t *rapid.T) {
	g, r := w.stored(t), w.one(t)
	smooth := w.smooth(t, g)
	calm, troubled := w.trouble(t, r)
	defer calm()
	before := w.refreshed()
	if err := w.asked(t, r, g, smooth && !troubled); err != nil {
		t.Fatal(err)
	}
	if n := w.refreshed() - before; n > 1 || (n > 0 && g.State == oauth.Revoked) {
		t.Fatalf("X refreshed %d times for one caller; the grant was %s", n, g.State)
	}
}

// crowd is many callers of both replicas at once.
func (w *world) crowd(t *rapid.T) {
	g := w.stored(t)
	smooth := w.smooth(t, g)
	calm, _ := w.trouble(t, w.one(t))
	defer calm()
	smooth = smooth && w.calm
	before, errs := w.refreshed(), make([]error, 6)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = w.asked(t, w.replicas[i%2], g, smooth) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if n := w.refreshed() - before; smooth && n > 1 {
		t.Fatalf("X refreshed %d times for a crowd", n)
	}
}

func (w *world) distrust(t *rapid.T) {
	r := w.one(t)
	calm, _ := w.trouble(t, r)
	defer calm()
	g := rapid.SampledFrom(w.past).Draw(t, "as it was")
	was := w.stored(t)
	_, err := r.Distrust(t.Context(), g)
	if err != nil && fault.SlugOf(err) != "x-unauthorized" && w.calm {
		t.Fatal(err)
	}
	if now := w.stored(t); g.Generation != was.Generation && now != was {
		t.Fatalf("X refused an older token, and the new one was marked: %+v", now)
	}
}

func (w *world) revoke(t *rapid.T) {
	r := w.one(t)
	calm, _ := w.trouble(t, r)
	defer calm()
	err := r.Revoke(t.Context(), app, w.id)
	if err != nil && w.calm {
		t.Fatal(err)
	}
	if g := w.stored(t); err == nil && (g.State != oauth.Revoked || !g.Access.Empty() || !g.Refresh.Empty()) {
		t.Fatalf("it was said to be revoked: %+v", g)
	}
}

func (w *world) connect(t *rapid.T) {
	r := w.one(t)
	calm, _ := w.trouble(t, r)
	defer calm()
	r.connected(t, w)
}

// connected has the user connect again, which works unless the process dies.
func (r *replica) connected(t *rapid.T, w *world) {
	g, err := r.Import(t.Context(), app, xapp.Default, w.consent(t))
	if err != nil || g.ID != w.id || g.State != oauth.Active {
		t.Fatalf("connecting again: %+v, %v", g, err)
	}
}

// disconnect is the user's doing, at X.
func (w *world) disconnect(t *rapid.T) {
	g := w.stored(t)
	if g.Refresh.Empty() {
		return
	}
	x, err := w.parts.XApps.Get(t.Context(), g.XApp)
	if err != nil {
		t.Fatal(err)
	}
	token, err := w.parts.Keyring.Open(t.Context(), g.Refresh, g.Label(oauth.RefreshLabel))
	if err == nil {
		err = w.parts.X.Revoke(t.Context(), x, token)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.ended[w.familyOf(t, g)] = true
}

// dies has a process die at some point of what it does, and another take its
// place on the same machine.
func (w *world) dies(t *rapid.T) {
	r := w.one(t)
	r.diesAt(rapid.IntRange(1, 10).Draw(t, "at call"), rapid.Bool().Draw(t, "after it"))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	switch rapid.SampledFrom([]string{"access", "access", "revoke", "connect"}).Draw(t, "at") {
	case "revoke":
		_ = r.Revoke(ctx, app, w.id)
	case "connect":
		_, _ = r.Import(ctx, app, xapp.Default, w.consent(t))
	default:
		_, _ = r.Access(ctx, w.stored(t))
	}
	w.excused = r.unkept
	w.start(r)
}

// keeper is how a process begins, and what it does again and again.
func (w *world) keeper(t *rapid.T) {
	if _, _, err := w.one(t).Replay(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// meanwhile has something happen at one replica while the other waits for X.
func (w *world) meanwhile(t *rapid.T) {
	g, i := w.stored(t), rapid.IntRange(0, 1).Draw(t, "replica")
	slow, other := w.replicas[i], w.replicas[1-i]
	w.x.Mischief(xsim.Mischief{Kind: "slow", Delay: 5 * time.Millisecond})
	defer w.x.ClearMischief()
	revoke := rapid.Bool().Draw(t, "revoke")
	done := make(chan struct{})
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		if revoke {
			_ = slow.Revoke(ctx, app, w.id)
			return
		}
		_, _ = slow.Access(ctx, g)
	}()
	time.Sleep(time.Duration(rapid.IntRange(0, 6).Draw(t, "after")) * time.Millisecond)
	var err error
	switch rapid.SampledFrom([]string{"revoke", "connect", "distrust"}).Draw(t, "what") {
	case "revoke":
		err = other.Revoke(t.Context(), app, w.id)
	case "connect":
		_, err = other.Import(t.Context(), app, xapp.Default, w.consent(t))
	default:
		_, err = other.Distrust(t.Context(), g)
	}
	<-done
	if err != nil && fault.SlugOf(err) != "x-unauthorized" {
		t.Fatal(err)
	}
}

func (w *world) time(t *rapid.T) {
	w.pass(t, rapid.SampledFrom([]time.Duration{31 * time.Second, 2 * time.Minute, 3 * time.Hour}).Draw(t, "passes"))
}
