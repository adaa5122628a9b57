package uses_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"perch/adapters/memory"
	"perch/app/uses"
	"perch/ports"
)

// moody counts writes, and fails while it is down.
type moody struct {
	ports.Uses
	down   bool
	writes int
	noted  int
}

func (m *moody) Note(ctx context.Context, used map[string]time.Time) error {
	m.writes++
	if m.down {
		return errors.New("down")
	}
	m.noted += len(used)
	return m.Uses.Note(ctx, used)
}

func last(t *testing.T, u *uses.Uses, id string) time.Time {
	t.Helper()
	got, err := u.Last(t.Context(), []string{id})
	if err != nil {
		t.Fatal(err)
	}
	return got[id]
}

func TestManyUsesAreOneWrite(t *testing.T) {
	store := &moody{Uses: memory.NewUses()}
	here, elsewhere := uses.New(store), uses.New(store)
	for range 1000 {
		here.Mark("key_1")
	}
	here.Mark("key_2")
	if store.writes != 0 || last(t, here, "key_1").IsZero() || !last(t, elsewhere, "key_1").IsZero() {
		t.Errorf("%d writes before the flush", store.writes)
	}
	if err := errors.Join(here.Flush(t.Context()), here.Flush(t.Context())); err != nil || store.writes != 1 || store.noted != 2 {
		t.Errorf("%d writes of %d uses: %v", store.writes, store.noted, err)
	}
	if last(t, elsewhere, "key_1").IsZero() {
		t.Error("another replica does not see the use")
	}
}

func TestWhatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &moody{Uses: memory.NewUses(), down: true}
		u := uses.New(store)
		u.Mark("key_1")
		u.Mark("key_2")
		if u.Flush(t.Context()) == nil {
			t.Error("nobody is told")
		}
		first := time.Now()
		time.Sleep(time.Minute)
		u.Mark("key_1")
		store.down = false
		if err := u.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		other := uses.New(store)
		if got := last(t, other, "key_1"); !got.Equal(first.Add(time.Minute)) {
			t.Errorf("key_1 was used at %v", got)
		}
		if got := last(t, other, "key_2"); !got.Equal(first) {
			t.Errorf("key_2 was used at %v", got)
		}
	})
}

func TestTheLatestUseOfAllReplicasCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.NewUses()
		one, two := uses.New(store), uses.New(store)
		one.Mark("key")
		time.Sleep(time.Second)
		two.Mark("key")
		at := time.Now()
		if err := errors.Join(two.Flush(t.Context()), one.Flush(t.Context())); err != nil {
			t.Fatal(err)
		}
		if got := last(t, one, "key"); !got.Equal(at) {
			t.Errorf("last used at %v, want %v", got, at)
		}
	})
}

func TestWhatIsNotedIsBounded(t *testing.T) {
	const most = 50_000
	store := &moody{Uses: memory.NewUses(), down: true}
	u := uses.New(store)
	var all sync.WaitGroup
	for part := range 4 {
		all.Go(func() {
			for i := range most / 2 {
				u.Mark(fmt.Sprintf("key_%d_%d", part, i))
			}
		})
	}
	all.Wait()
	if u.Flush(t.Context()) == nil {
		t.Error("nobody is told")
	}
	store.down = false
	if err := u.Flush(t.Context()); err != nil || store.noted != most {
		t.Errorf("%d uses were kept: %v", store.noted, err)
	}
}
