package replays_test

import (
	"context"
	"errors"
	"testing"

	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/ports"
)

// That another call may be repeated says nothing of the one that has the key.
func TestAHarmlessCallDoesNotTakeTheKeyOfAnother(t *testing.T) {
	h := lost(t, hello)
	asked := h.times()
	like := h.call("likePost", `{"tweet_id":"1"}`)
	like.Params = map[string]string{"id": "7"}
	h.answers(func() (ports.Reply, error) { return replyOf(429, "{}"), nil })
	_, err := h.Once(t.Context(), h.who, key, like, []byte(`{"tweet_id":"1"}`), h.perform)
	h.refused(err, "idempotency-key-reused")
	h.is(idempotency.Unknown)
	h.answers(func() (ports.Reply, error) { return replyOf(201, created), nil })
	_, err = h.ask(h.Service, key, hello)
	h.refused(err, "idempotency-unknown")
	if h.times() != asked {
		t.Errorf("X was asked %d times more", h.times()-asked)
	}
}

// Whoever is told so need not doubt whether X has done it.
func TestAKeyThatCannotBeClaimedHadNothingSent(t *testing.T) {
	h := newHouse(t)
	h.store.set(1, 0, false)
	_, err := h.ask(h.Service, key, hello)
	if !errors.Is(err, ports.ErrUnsent) || !errors.Is(err, fault.Unavailable) || h.times() != 0 {
		t.Errorf("X was asked %d times: %v", h.times(), err)
	}
}

// Whatever X said is known, if not how it said it.
func TestAnAnswerThatIsNotKeptHasItsStatus(t *testing.T) {
	h := newHouse(t)
	no := make([]byte, idempotency.MostKept)
	h.answers(func() (ports.Reply, error) { return replyOf(403, string(no)), nil })
	if _, err := h.ask(h.Service, key, hello); err != nil {
		t.Fatal(err)
	}
	reply, err := h.Once(context.Background(), h.who, key, h.call("createPosts", hello), []byte(hello), h.perform)
	h.refused(err, "idempotency-answer-not-kept")
	if reply.Status != 403 {
		t.Errorf("X said 403, and it comes back as %d", reply.Status)
	}
}

// A body is what its bytes are: another space is another request, which is
// refused, and never one more post.
func TestABodyWithAnotherSpaceIsAnotherRequest(t *testing.T) {
	h := newHouse(t)
	if _, err := h.ask(h.Service, key, hello); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{hello + "\n", " " + hello, `{ "text": "hello" }`} {
		_, err := h.ask(h.Service, key, body)
		h.refused(err, "idempotency-key-reused")
	}
	if h.times() != 1 {
		t.Errorf("X was asked %d times", h.times())
	}
}
