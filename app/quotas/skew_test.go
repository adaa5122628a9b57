package quotas_test

import (
	"fmt"
	"testing"
	"time"

	"perch/adapters/memory"
	"perch/app/actions"
	"perch/app/quotas"
	"perch/ports"
)

// skewed has its Perches' clocks ahead of X's by so much.
func (w *world) skewed(t *testing.T, by ...time.Duration) {
	t.Helper()
	w.perches, w.quotas = nil, nil
	for _, ahead := range by {
		q := quotas.New(w.own(), nil, true, func() time.Time { return w.now().Add(ahead) })
		w.quotas = append(w.quotas, q)
		w.perches = append(w.perches, actions.New(actions.Parts{
			Grants: w, XApps: w, X: w.gateway, Observer: silence{}, Tolls: actions.Tolls(q),
		}))
	}
}

// TestClocksThatDisagreeByTwoSecondsCostLittle: two Perches, one ahead of X and one
// behind, use up a window that is nearly unused when it ends, and go on in the next.
func TestClocksThatDisagreeByTwoSecondsCostLittle(t *testing.T) {
	for name, store := range map[string]func() ports.QuotaStore{
		"exact": func() ports.QuotaStore { return memory.NewQuota() },
		"block": func() ports.QuotaStore { return blocky{memory.NewQuota()} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 1, store())
			w.skewed(t, 2*time.Second, -2*time.Second)
			n, done := 0, 0
			call := func(perch int) {
				n++
				reply, err := w.ask(perch, wish{action: posts, body: fmt.Sprintf(`{"text":"skew %d"}`, n)})
				if err == nil && reply.Status == 201 {
					done++
				}
			}
			for range 4 {
				call(0) // which opens the window
				w.advance(890 * time.Second)
				for range 25 * 5 {
					call(0)
					call(1)
					w.advance(200 * time.Millisecond)
				}
				w.advance(1000 * time.Second)
			}
			refused, asked := w.refusals()
			t.Logf("X was asked %d times, answered 429 %d times; %d posts", asked, refused, done)
			if refused > 8 || done < 4*180 {
				t.Errorf("X answered 429 %d times; %d posts", refused, done)
			}
		})
	}
}
