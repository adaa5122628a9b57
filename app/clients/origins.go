package clients

import (
	"context"
	"errors"
	"sync"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/ports"
)

// OriginsTTL is the least time between two reads of all applications because
// someone came from an origin that is not known. Without that they are read again
// after originsOld: another application may have come to share a known origin.
const (
	OriginsTTL = time.Second
	originsOld = 30 * time.Second
)

// A Listing says which kinds of active client applications allow calls from an
// origin.
type Listing struct {
	Any     bool // some application does
	Cookies bool // one whose sessions are held by cookies does
}

// origins knows which applications to ask about an origin. A known one costs no
// read of the store while its applications are warm; unknown ones, however many
// there are, cost one read in OriginsTTL.
type origins struct {
	all  ports.Applications // who is asked for all applications
	warm ports.Applications // who is asked whether one still allows an origin

	reading chan struct{} // holds a token while somebody reads

	mu    sync.Mutex
	known map[client.Origin][]client.AppID // never changed, only replaced; nil: not read yet
	read  time.Time
	turn  int // counts our own changes
}

func newOrigins(all, warm ports.Applications) *origins {
	return &origins{all: all, warm: warm, reading: make(chan struct{}, 1)}
}

// Asking has the service ask warm, which may be behind, whether an application
// still allows an origin.
func (s *Service) Asking(warm ports.Applications) *Service {
	s.origins = newOrigins(s.apps, warm)
	return s
}

// Listed says who allows calls from the origin. It may be behind by OriginsTTL,
// by as long as reading takes, and by as much as what is asked.
func (s *Service) Listed(ctx context.Context, o client.Origin) (Listing, error) {
	return s.origins.listed(ctx, o)
}

func (s *origins) listed(ctx context.Context, o client.Origin) (Listing, error) {
	known, age := s.have()
	l, err := s.ask(ctx, known[o], o)
	if err != nil || l.Any && age < originsOld {
		return l, err
	}
	known, err = s.renew(ctx)
	switch {
	case err == nil:
		return s.ask(ctx, known[o], o)
	case l.Any:
		return l, nil
	}
	return Listing{}, err
}

// ask asks the applications whether they allow the origin now.
func (s *origins) ask(ctx context.Context, ids []client.AppID, o client.Origin) (l Listing, err error) {
	for _, id := range ids {
		a, err := s.warm.Get(ctx, id)
		if errors.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return Listing{}, err
		}
		if a.Status == client.Active && a.From(o) {
			l.Any = true
			l.Cookies = l.Cookies || a.Cookies
		}
	}
	return l, nil
}

// have returns what is known and how old it is. Nothing is very old.
func (s *origins) have() (known map[client.Origin][]client.AppID, age time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known, time.Since(s.read)
}

// renew returns what is known, read anew unless it is recent. One reads; the
// others go by what is known, or wait where nothing is.
func (s *origins) renew(ctx context.Context) (map[client.Origin][]client.AppID, error) {
	known, age := s.have()
	if age < OriginsTTL {
		return known, nil
	}
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	default:
		if known != nil {
			return known, nil
		}
		select {
		case s.reading <- struct{}{}:
			defer func() { <-s.reading }()
		case <-ctx.Done():
			return nil, ended(ctx)
		}
	}
	if known, age = s.have(); age < OriginsTTL { // somebody has read meanwhile
		return known, nil
	}
	return s.readAll(ctx)
}

// readAll reads all applications. What it finds is kept unless an application was
// changed here meanwhile.
func (s *origins) readAll(ctx context.Context) (map[client.Origin][]client.AppID, error) {
	s.mu.Lock()
	turn := s.turn
	s.mu.Unlock()
	began, found := time.Now(), map[client.Origin][]client.AppID{}
	var after client.AppID
	for {
		page, err := s.all.List(ctx, after, 500)
		if err != nil {
			return nil, err
		}
		for _, a := range page {
			for _, o := range a.Origins {
				found[o] = append(found[o], a.ID)
			}
		}
		if len(page) == 0 {
			break
		}
		after = page[len(page)-1].ID
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turn == turn {
		s.known, s.read = found, began
	}
	return found, nil
}

// forget has all applications read again when next asked.
func (s *origins) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known, s.read = nil, time.Time{}
	s.turn++
}
