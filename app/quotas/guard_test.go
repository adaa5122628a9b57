package quotas_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"perch/app/quotas"
	"perch/domain/quota"
	"perch/ports"
)

// What blocks give back every second proves nothing, and must not take the turn of
// the call that would.
func TestAStoreThatIsBackIsUsedAgainThoughCallsAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, told := newCounter(), &heard{}
		b := quotas.NewBlocks(quotas.NewGuard(store, newCounter(), told))
		c := quota.Charge{Key: "k", Max: 1 << 40, Window: time.Hour}
		pull := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
				allowed(t, b, c)
			}
		}
		store.set(true)
		pull(5 * time.Second)
		store.set(false)
		pull(3 * time.Second)
		if verbs := told.verbs(); len(verbs) != 2 || verbs[1] != "quota.store.close" {
			t.Errorf("three seconds after the store was back the observer was told %q", verbs)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// late is a store whose answer to the first call is under way for a second.
type late struct {
	ports.QuotaStore
	asked atomic.Bool
}

func (l *late) Spend(ctx context.Context, at time.Time, charges []quota.Charge) (quota.Verdict, error) {
	v, err := l.QuotaStore.Spend(ctx, at, charges)
	if !l.asked.Swap(true) {
		time.Sleep(time.Second)
	}
	return v, err
}

func TestAnAnswerFromBeforeTheStoreWentDoesNotSayThatItIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, told := newCounter(), &heard{}
		g := quotas.NewGuard(&late{QuotaStore: store}, newCounter(), told)
		var first sync.WaitGroup
		first.Go(func() { allowed(t, g, hourly) })
		synctest.Wait()
		store.set(true)
		time.Sleep(time.Second / 2)
		allowed(t, g, hourly)
		first.Wait()
		if verbs := told.verbs(); !slices.Equal(verbs, []string{"quota.store.open"}) {
			t.Errorf("the observer was told %q", verbs)
		}
	})
}
