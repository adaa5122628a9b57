package memory_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"perch/adapters/memory"
	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/domain/secret"
)

// A shelf has room for a few calls.
type shelf struct {
	*memory.Replies
	t *testing.T
}

// answer is as long as four records.
var answer = secret.Box(strings.Repeat("x", 2048))

func scope(i int) string { return fmt.Sprintf("scope-%03d", i) }

// reserve takes a key.
func (s shelf) reserve(i int) (idempotency.Record, error) {
	r := idempotency.Reserve(scope(i), fmt.Sprintf("attempt-%d", i), "print", "createPosts", time.Now())
	return r, s.Create(s.t.Context(), r)
}

// perform has a call answered, and returns why it was not sent.
func (s shelf) perform(i int) error {
	s.t.Helper()
	r, err := s.reserve(i)
	if err != nil {
		return err
	}
	sent := r.Send("", time.Now(), time.Minute)
	if err := s.Swap(s.t.Context(), r, sent); err != nil {
		return err
	}
	if err := s.Swap(s.t.Context(), sent, sent.Settle(201, answer, time.Now())); err != nil {
		s.t.Errorf("what X has done is not written down: %v", err)
	}
	return nil
}

func (s shelf) get(i int) idempotency.Record {
	s.t.Helper()
	r, err := s.Get(s.t.Context(), scope(i))
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func TestTheOldestAnswersGoAndNoRecordDoes(t *testing.T) {
	const most = 16 << 10
	s := shelf{memory.NewRepliesWithin(most), t}
	done := 0
	for ; ; done++ {
		if err := s.perform(done); err != nil {
			if !errors.Is(err, fault.Unavailable) || fault.SlugOf(err) != "idempotency-store-full" {
				t.Fatal(err)
			}
			break
		}
		if done == 0 {
			continue
		}
		if r := s.get(done); done < 5 && r.Reply != answer {
			t.Errorf("the answer of call %d is not kept", done)
		}
	}
	if want := most / 512; done < want-5 || done > want {
		t.Errorf("there was room for %d records, want about %d", done, want)
	}
	kept := 0
	for i := range done {
		r := s.get(i)
		if r.State != idempotency.Done || r.Status != 201 || r.Attempt != fmt.Sprintf("attempt-%d", i) {
			t.Errorf("what is known of call %d: %+v", i, r)
		}
		if !r.Reply.Empty() {
			kept++
		}
	}
	if kept > 1 {
		t.Errorf("%d answers are kept where there is no room for a key", kept)
	}
	n, err := s.Sweep(t.Context(), time.Now().Add(25*time.Hour))
	if err != nil || n < done {
		t.Errorf("%d were swept, %v", n, err)
	}
	if err := s.perform(done); err != nil || s.get(done).Reply != answer {
		t.Errorf("after a day there is no room: %v", err)
	}
}

// The answers that stay are the newest.
func TestTheNewestAnswersStay(t *testing.T) {
	s := shelf{memory.NewRepliesWithin(20 * 512), t}
	for i := range 10 {
		if err := s.perform(i); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		if kept := !s.get(i).Reply.Empty(); kept != (i >= 8) {
			t.Errorf("that the answer of call %d is kept is %v", i, kept)
		}
	}
}

// Where X was asked before the memory was full, what it did is written down.
func TestWhatXWasAskedIsWrittenDownWithoutRoom(t *testing.T) {
	s := shelf{memory.NewRepliesWithin(2 * 512), t}
	r, err := s.reserve(0)
	if err != nil {
		t.Fatal(err)
	}
	sent := r.Send("", time.Now(), time.Minute)
	if err := s.Swap(t.Context(), r, sent); err != nil {
		t.Fatal(err)
	}
	if _, err := s.reserve(1); err != nil {
		t.Fatal(err)
	}
	if _, err := s.reserve(2); !errors.Is(err, fault.Unavailable) {
		t.Errorf("a key was taken without room: %v", err)
	}
	if err := s.Swap(t.Context(), sent, sent.Settle(201, answer, time.Now())); err != nil {
		t.Fatal(err)
	}
	if got := s.get(0); got.State != idempotency.Done || got.Status != 201 || !got.Reply.Empty() {
		t.Errorf("what is known: %+v", got)
	}
	if err := s.Remove(t.Context(), s.get(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.reserve(2); err != nil {
		t.Errorf("room that was given back is not there: %v", err)
	}
}
