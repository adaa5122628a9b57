package quotas_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/quota"
	"perch/domain/xapp"
	"perch/ports"
)

// TestAnApplicationOnAReplicaOfItsOwnHasItsShare: a balancer sends each of two
// client applications to another replica. X allows the X App 15 in 15 minutes; one
// wants 75, the other 7.
func TestAnApplicationOnAReplicaOfItsOwnHasItsShare(t *testing.T) {
	replicated(t, func(t *testing.T, store ports.QuotaStore, _ int64) {
		w := newWorld(t, 1, 2, store)
		for window := range 4 {
			polite := 0
			for i := range 75 {
				_, _ = w.ask(0, wish{app: 0, user: -1, action: lists})
				if i%11 == 5 {
					if _, err := w.ask(1, wish{app: 1, user: -1, action: lists}); err == nil {
						polite++
					}
				}
				w.advance(12 * time.Second)
			}
			if window > 0 && polite < 6 {
				t.Errorf("in window %d the polite application got %d of 7", window, polite)
			}
		}
	})
}

// TestAnApplicationIsCountedOnceOnAllReplicas: three applications that all replicas
// see are three, and one that is not seen for long is none.
func TestAnApplicationIsCountedOnceOnAllReplicas(t *testing.T) {
	w := newWorld(t, 1, 4, nil)
	open := func(perch, app int) error {
		who := w.caller(app)
		who.User = ""
		settle, err := w.quotas[perch].Enter(t.Context(), who, w.call(lists)) // 15 in 15 minutes
		if err == nil {
			settle(t.Context(), &ports.Reply{}, fault.New(fault.Unavailable, "").Because(ports.ErrUnsent))
		}
		return err
	}
	all := func(want int, apps ...int) {
		t.Helper()
		for perch := range 4 {
			for _, app := range apps {
				must(t, open(perch, app))
			}
		}
		w.advance(10 * time.Second) // after which replicas look again
		must(t, open(0, apps[0]))
		n, who := 0, w.caller(apps[0])
		for who.User = ""; n < 20; n++ {
			settle, err := w.quotas[0].Enter(t.Context(), who, w.call(lists))
			if err != nil {
				break
			}
			defer settle(t.Context(), &ports.Reply{}, fault.New(fault.Unavailable, "").Because(ports.ErrUnsent))
		}
		if n != want {
			t.Errorf("of 15 calls each of %d applications has %d at once, want %d", len(apps), n, want)
		}
	}
	all(5, 0, 1, 2)
	w.advance(time.Hour)
	all(15, 3)
}

// TestWithoutTheStoreAReplicaCountsItsOwnApplications: the store refuses to say how
// many there are.
func TestWithoutTheStoreAReplicaCountsItsOwnApplications(t *testing.T) {
	store := newCounter()
	w := newWorld(t, 1, 1, store)
	store.set(true)
	who := w.caller(0)
	who.User = ""
	if _, err := w.quotas[0].Enter(t.Context(), who, w.call(lists)); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got error %v, want unavailable", err)
	}
	store.set(false)
	settle, err := w.quotas[0].Enter(t.Context(), who, w.call(lists))
	must(t, err)
	settle(t.Context(), &ports.Reply{Status: 200}, nil)
	crowds := 0
	for name := range store.buckets {
		if name.Max == 1<<40 {
			crowds++
		}
	}
	if crowds != 2 {
		t.Errorf("the store knows of %d stretches, want this one and the next", crowds)
	}
}

// messages is allowed 1,440 times a day to the X App, and 15 times in 15 minutes to
// each user.
const messages = "createDirectMessagesByParticipantId"

// tenants are the client applications that are registered, or an error.
type tenants struct {
	all []client.App
	err error
}

func (r *tenants) List(_ context.Context, after client.AppID, n int) ([]client.App, error) {
	slices.SortFunc(r.all, func(a, b client.App) int { return strings.Compare(string(a.ID), string(b.ID)) })
	var page []client.App
	for _, a := range r.all {
		if a.ID > after && len(page) < n {
			page = append(page, a)
		}
	}
	return page, r.err
}

// registered are so many active applications of the X App.
func registered(x xapp.ID, n int) (all []client.App) {
	for i := range n {
		all = append(all, client.App{ID: client.AppID(fmt.Sprintf("%s_%04d", x, i)), XApp: x, Status: client.Active})
	}
	return all
}

// spends counts how many of so many calls of the application are let through at
// once. They are those of 120 users, and performed.
func (w *world) spends(t *testing.T, app int, action string, wanted int) (n int) {
	t.Helper()
	for i := range wanted {
		who := w.caller(app)
		who.User = userID(i % 120)
		if settle, err := w.quotas[0].Enter(t.Context(), who, w.call(action)); err == nil {
			settle(t.Context(), &ports.Reply{Status: 201}, nil)
			n++
		}
	}
	return n
}

// TestOnlyWhoIsRegisteredAloneHasAWholeDayAtOnce: an application that nobody else
// asks beside.
func TestOnlyWhoIsRegisteredAloneHasAWholeDayAtOnce(t *testing.T) {
	suspended := registered(xapp.Default, 2)
	suspended[1].Status = client.Suspended
	for name, v := range map[string]struct {
		registry *tenants
		action   string
		want     int
	}{
		"alone":                           {&tenants{all: registered(xapp.Default, 1)}, posts, 10000},
		"others have other X Apps":        {&tenants{all: append(registered(xapp.Default, 1), registered("a", 450)...)}, messages, 1440},
		"the other is suspended":          {&tenants{all: suspended}, messages, 1440},
		"another may come":                {&tenants{all: registered(xapp.Default, 2)}, messages, 720},
		"another, on the last page":       {&tenants{all: append(registered("a", 450), registered(xapp.Default, 2)...)}, messages, 720},
		"nobody knows":                    {nil, messages, 720},
		"the store does not say":          {&tenants{err: fault.New(fault.Unavailable, "away")}, messages, 720},
		"it says something, and an error": {&tenants{all: registered(xapp.Default, 1), err: errors.New("away")}, messages, 720},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 1, nil)
			if v.registry != nil {
				w.quotas[0].Among(v.registry)
			}
			if n := w.spends(t, 0, v.action, v.want+60); n != v.want {
				t.Errorf("at once it has %d, want %d", n, v.want)
			}
		})
	}
}

// TestWhatAnotherMayWantIsFreedAsTheDayPasses: one of two applications asks.
func TestWhatAnotherMayWantIsFreedAsTheDayPasses(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	w.quotas[0].Among(&tenants{all: registered(xapp.Default, 2)})
	w.spends(t, 0, messages, 1500)
	w.advance(12 * time.Hour)
	if n := w.spends(t, 0, messages, 1500); n < 345 || n > 375 {
		t.Errorf("after half a day it has %d more, want 360", n)
	}
}

// TestANewcomerHasItsShareOfWhatIsLeft: one application has had 1,000 of 1,440
// calls when another is registered. It waits from then on, before the other asks.
func TestANewcomerHasItsShareOfWhatIsLeft(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	registry := &tenants{all: registered(xapp.Default, 1)}
	w.quotas[0].Among(registry)
	if n := w.spends(t, 0, messages, 1000); n != 1000 {
		t.Fatalf("alone it has %d, want all", n)
	}
	registry.all = registered(xapp.Default, 2)
	w.advance(10 * time.Second) // after which replicas look again
	if n := w.spends(t, 0, messages, 100); n != 0 {
		t.Errorf("with another registered it has %d more", n)
	}
	w.advance(16 * time.Minute) // users have calls again
	if n := w.spends(t, 1, messages, 1500); n != 440 {
		t.Errorf("the newcomer has %d, want the 440 that are left", n)
	}
}

// TestAnApplicationsPartEndsWithXsWindow: X says that its day ends in five hours,
// and what was used of it counts no longer in the next.
func TestAnApplicationsPartEndsWithXsWindow(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	w.answer(t, w.caller(0), messages, ports.Reply{Status: 201, Windows: []quota.Window{
		w.says(quota.AppDay, 1440, 1439, 5*time.Hour),
	}}, nil)
	w.spends(t, 1, messages, 1)
	if n := w.spends(t, 0, messages, 1500); n < 1000 {
		t.Fatalf("one of two has %d when four fifths of the day are over", n)
	}
	w.advance(5*time.Hour + 2*time.Second)
	w.spends(t, 1, messages, 1)
	if n := w.spends(t, 0, messages, 430); n != 430 {
		t.Errorf("of the next window it has %d at once, want its third and more", n)
	}
	if n := w.spends(t, 0, messages, 1000); n > 100 {
		t.Errorf("and then %d more", n)
	}
}
