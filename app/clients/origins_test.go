package clients_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"perch/app/clients"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/ports"
)

// counted counts the reads of all applications, and fails when told so.
type counted struct {
	ports.Applications
	lists atomic.Int64
	down  atomic.Bool
}

func (c *counted) List(ctx context.Context, after client.AppID, n int) ([]client.App, error) {
	if after == "" {
		c.lists.Add(1)
	}
	if c.down.Load() {
		return nil, fault.New(fault.Unavailable, "the store does not answer")
	}
	return c.Applications.List(ctx, after, n)
}

// newPages returns a service that asks a store for all applications which counts.
func newPages(t *testing.T) (house, *counted) {
	t.Helper()
	h := newHouse(t)
	apps := &counted{Applications: h.store.Registry().Apps()}
	h.Service = h.Through(apps, h.store.Registry().Keys()).Asking(h.store.Registry().Apps())
	return h, apps
}

const pageOfTest = client.Origin("https://app.example")

func (h house) listed(t *testing.T, o client.Origin) clients.Listing {
	t.Helper()
	l, err := h.Listed(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// elsewhere changes the application as another replica does.
func (h house) elsewhere(t *testing.T, a client.App, edit func(*client.App)) client.App {
	t.Helper()
	next := a
	edit(&next)
	next, err := h.store.Registry().Apps().Swap(t.Context(), a, next)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestListedFollowsTheApplications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newPages(t)
		if h.listed(t, pageOfTest).Any {
			t.Error("an origin of nobody is listed")
		}
		app := h.register(t, client.App{Origins: []client.Origin{pageOfTest}})
		if l := h.listed(t, pageOfTest); l != (clients.Listing{Any: true}) {
			t.Errorf("a new application's origin: %+v", l)
		}
		app = h.elsewhere(t, app, func(a *client.App) { a.Status = client.Suspended })
		if h.listed(t, pageOfTest).Any {
			t.Error("a suspended application's origin is listed")
		}
		app = h.elsewhere(t, app, func(a *client.App) { a.Status, a.Cookies = client.Active, true })
		if l := h.listed(t, pageOfTest); l != (clients.Listing{Any: true, Cookies: true}) {
			t.Errorf("an application in cookie mode: %+v", l)
		}
		app = h.elsewhere(t, app, func(a *client.App) { a.Origins = []client.Origin{"https://new.example"} })
		if h.listed(t, pageOfTest).Any {
			t.Error("an origin that was taken away is listed")
		}
		time.Sleep(clients.OriginsTTL)
		if !h.listed(t, "https://new.example").Any {
			t.Error("an origin that another replica added is not listed in time")
		}
		other := app
		other.ID, other.Origins = "app_other", []client.Origin{"https://other.example"}
		if _, err := h.store.Registry().Apps().Create(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		time.Sleep(clients.OriginsTTL)
		if !h.listed(t, "https://other.example").Any {
			t.Error("an application that another replica registered is not listed in time")
		}
	})
}

func TestOneListedByTwoIsAsTheWiderOne(t *testing.T) {
	h, _ := newPages(t)
	h.register(t, client.App{Origins: []client.Origin{pageOfTest}, Cookies: true})
	h.register(t, client.App{Origins: []client.Origin{pageOfTest}})
	if l := h.listed(t, pageOfTest); l != (clients.Listing{Any: true, Cookies: true}) {
		t.Errorf("%+v", l)
	}
}

func TestUnknownOriginsDoNotReadTheStoreEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, apps := newPages(t)
		h.register(t, client.App{Origins: []client.Origin{pageOfTest}})
		var asking sync.WaitGroup
		for i := range 500 {
			asking.Go(func() {
				if h.listed(t, client.Origin(fmt.Sprintf("https://n%d.example", i))).Any {
					t.Error("an unknown origin is listed")
				}
			})
		}
		asking.Wait()
		if n := apps.lists.Load(); n != 1 {
			t.Errorf("500 unknown origins at once read all applications %d times, want once", n)
		}
		for range 20 {
			time.Sleep(clients.OriginsTTL / 10)
			h.listed(t, pageOfTest)
			h.listed(t, "https://stranger.example")
		}
		if n := apps.lists.Load(); n > 4 {
			t.Errorf("after two seconds of strangers all applications were read %d times", n)
		}
		before := apps.lists.Load()
		for range 20 {
			time.Sleep(clients.OriginsTTL)
			h.listed(t, pageOfTest)
		}
		if n := apps.lists.Load() - before; n > 1 {
			t.Errorf("20 seconds of a known origin read all applications %d times", n)
		}
	})
}

func TestAStoreThatIsAwayListsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, apps := newPages(t)
		h.register(t, client.App{Origins: []client.Origin{pageOfTest}})
		apps.down.Store(true)
		if _, err := h.Listed(t.Context(), pageOfTest); !errors.Is(err, fault.Unavailable) {
			t.Errorf("an origin that could not be looked up: %v", err)
		}
		apps.down.Store(false)
		h.listed(t, pageOfTest)
		apps.down.Store(true)
		time.Sleep(time.Minute)
		if !h.listed(t, pageOfTest).Any {
			t.Error("an origin whose application answers is not listed while all cannot be read")
		}
		if _, err := h.Listed(t.Context(), "https://stranger.example"); !errors.Is(err, fault.Unavailable) {
			t.Errorf("a stranger: %v", err)
		}
	})
}
