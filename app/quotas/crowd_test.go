package quotas_test

import (
	"testing"
	"time"

	"perch/domain/fault"
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

// TestAnApplicationThatIsAloneHasHalfOfADayAtOnce: of 10,000 posts, by 120 users.
func TestAnApplicationThatIsAloneHasHalfOfADayAtOnce(t *testing.T) {
	w := newWorld(t, 1, 1, nil)
	post := func() (n int) {
		for i := range 12000 {
			who := w.caller(0)
			who.User = userID(i % 120)
			if settle, err := w.quotas[0].Enter(t.Context(), who, w.call(posts)); err == nil {
				settle(t.Context(), &ports.Reply{Status: 201}, nil)
				n++
			}
		}
		return n
	}
	if n := post(); n != 5000 {
		t.Errorf("at once it has %d, want 5000", n)
	}
	w.advance(12 * time.Hour)
	if n := post(); n < 2400 || n > 2600 {
		t.Errorf("after half a day it has %d more, want 2500", n)
	}
}
