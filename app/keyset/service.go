// Package keyset brings what is stored under the key that seals, counts which
// keys are still needed, and says when one is not.
package keyset

import (
	"context"
	"fmt"
	"strings"
	"time"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/ports"
)

// Settling is how long after a key has stopped to seal it may still be needed
// by what is stored nowhere we look: sign-ins that are under way, and boxes on
// their way to a store that is slow.
const Settling = oauth.AuthorizationTTL + time.Minute

// Service works on everything that holds boxes.
type Service struct {
	ring    ports.Keyring
	shelves []shelf
}

// Parts are what the service is made of.
type Parts struct {
	Grants      ports.TokenVault
	XApps       ports.XApps
	SigningKeys ports.SigningKeys
	Deliveries  ports.Deliveries
	Journal     ports.Journal
	Keyring     ports.Keyring
}

// New returns the service. Renewals are looked at before grants, which they become.
func New(p Parts) *Service {
	return &Service{p.Keyring, []shelf{
		renewals(p.Journal), grants(p.Grants), xApps(p.XApps), signingKeys(p.SigningKeys),
		deliveries(p.Deliveries),
	}}
}

// Progress is how far a long task is.
type Progress struct {
	Doing string // as "resealing grants"
	Rows  int    // done
	Of    int    // of how many; 0 where nobody knows
}

// A Census counts the boxes of one kind, and by which keys they are sealed.
type Census struct {
	Kind  string
	Rows  int            // that were looked at
	Boxes map[string]int // by the name of the key; "" where a box does not tell
	Shut  Names          // rows with a box that does not open
}

// Names are the first few of many.
type Names struct {
	Count int
	First []string
}

func (n *Names) add(name string) {
	const few = 5
	if n.Count++; len(n.First) < few {
		n.First = append(n.First, name)
	}
}

func (n Names) String() string {
	s := strings.Join(n.First, ", ")
	if more := n.Count - len(n.First); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// But is how many boxes other keys than this one seal.
func (c Census) But(key string) (n int) {
	for k, boxes := range c.Boxes {
		if k != key {
			n += boxes
		}
	}
	return n
}

// Count looks at every box there is and tries to open it.
func (s *Service) Count(ctx context.Context, tell func(Progress)) ([]Census, error) {
	return s.count(ctx, "counting", nil, tell)
}

// count knows from an earlier count how many rows there are.
func (s *Service) count(
	ctx context.Context, doing string, known []Census, tell func(Progress),
) (all []Census, err error) {
	for i, shelf := range s.shelves {
		c := Census{Kind: shelf.kind, Boxes: map[string]int{}}
		p := Progress{Doing: doing + " " + shelf.kind}
		if known != nil {
			p.Of = known[i].Rows
		}
		err := shelf.pages(ctx, func(page []row) error {
			for _, r := range page {
				s.look(ctx, r, &c)
			}
			p.Rows = c.Rows
			tell(p)
			return ctx.Err()
		})
		if err != nil {
			return all, fmt.Errorf("%s: %w", p.Doing, err)
		}
		all = append(all, c)
	}
	return all, nil
}

func (s *Service) look(ctx context.Context, r row, c *Census) {
	c.Rows++
	opens := true
	for _, b := range r.boxes {
		if b.box.Empty() {
			continue
		}
		c.Boxes[s.ring.KeyOf(b.box)]++
		_, err := s.ring.Open(ctx, b.box, b.label)
		opens = opens && err == nil
	}
	if !opens {
		c.Shut.add(r.id)
	}
}

// Retirable returns nil if nothing that is stored needs the key, which sealed
// until stopped; otherwise why it must stay.
func (s *Service) Retirable(ctx context.Context, key string, stopped time.Time, tell func(Progress)) error {
	if key == s.ring.Primary() {
		return fault.New(fault.Conflict, "%s is the key that seals; perch keyset rotate lets another one seal", key)
	}
	wait := time.Until(stopped.Add(Settling)) // before the count, which may miss what came meanwhile
	all, err := s.Count(ctx, tell)
	if err != nil {
		return err
	}
	var needed, silent []string
	current := 0
	for _, c := range all {
		current += c.Boxes[s.ring.Primary()]
		if n := c.Boxes[key]; n > 0 {
			needed = append(needed, fmt.Sprintf("%s: %d", c.Kind, n))
		}
		if n := c.Boxes[""]; n > 0 {
			silent = append(silent, fmt.Sprintf("%s: %d", c.Kind, n))
		}
	}
	switch {
	case len(needed) > 0:
		return fault.New(fault.Conflict, "%s still seals boxes (%s); perch keyset reseal brings them under the key %s",
			key, strings.Join(needed, ", "), s.ring.Primary())
	case len(silent) > 0:
		return fault.New(fault.Conflict, "there are boxes that do not tell which key they need (%s), and it may be %s; "+
			"they are damaged: restore them from a backup, or remove what holds them", strings.Join(silent, ", "), key)
	case current == 0:
		return fault.New(fault.Conflict, "%s, the key that seals, has sealed nothing of what is stored here, so the keyset "+
			"may belong to other stores, which need %s; check the settings", s.ring.Primary(), key)
	case wait > 0:
		return fault.New(fault.Conflict, "%s sealed until %s, and sign-ins that were under way then may need it until %s; "+
			"try again after that", key, clockTime(stopped), clockTime(stopped.Add(Settling))).After(wait)
	}
	return nil
}

func clockTime(t time.Time) string { return t.UTC().Format("15:04:05") + " UTC" }
