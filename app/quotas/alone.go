package quotas

import (
	"context"
	"sync"
	"time"

	"perch/domain/client"
	"perch/domain/xapp"
)

// registry lists the client applications that are registered.
type registry interface {
	List(ctx context.Context, after client.AppID, n int) ([]client.App, error)
}

// Among tells the service where client applications are registered: one that is
// alone on its X App shares with nobody. Without that, others may always come.
func (s *Service) Among(apps registry) *Service {
	s.tenants.registry = apps
	return s
}

// tenants knows how many active client applications each X App has. A replica
// looks again after lookAgain, while it is asked.
type tenants struct {
	registry registry // nil: nobody knows

	mu     sync.Mutex
	of     map[xapp.ID]int // never changed, only replaced; nil: not known yet
	looked time.Time
}

// alone reports whether the X App has one client application at most. Callers who
// come while another one looks go by what was known before.
func (t *tenants) alone(ctx context.Context, id xapp.ID, at time.Time) bool {
	if t.due(at) {
		if of, err := t.count(ctx); err == nil {
			t.mu.Lock()
			t.of = of
			t.mu.Unlock()
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.of != nil && t.of[id] < 2
}

func (t *tenants) due(at time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.registry == nil || at.Sub(t.looked).Abs() < lookAgain {
		return false
	}
	t.looked = at
	return true
}

func (t *tenants) count(ctx context.Context) (map[xapp.ID]int, error) {
	const page = 200
	of := map[xapp.ID]int{}
	for after := client.AppID(""); ; {
		apps, err := t.registry.List(ctx, after, page)
		if err != nil {
			return nil, err
		}
		for _, a := range apps {
			if a.Status == client.Active {
				of[a.XApp]++
			}
			after = a.ID
		}
		if len(apps) < page {
			return of, nil
		}
	}
}
