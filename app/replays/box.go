package replays

import (
	"bytes"
	"context"
	"encoding/json"
	"io"

	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/domain/secret"
	"perch/ports"
)

// Kinds of boxes. Each opens in the row of its key alone.
const (
	requestLabel = "replies.request"
	replyLabel   = "replies.reply"
)

// replayed marks an answer that is not X's to this request.
const replayed = "Idempotency-Replayed"

// worthKeeping are the headers of X that are still true later.
func worthKeeping() []string {
	return []string{"Content-Type", "Content-Encoding", "X-Transaction-Id", "Api-Version"}
}

// An answer is what is kept of X's.
type answer struct {
	Header map[string][]string `json:"header,omitempty"`
	Body   []byte              `json:"body"`
}

// sealRequest returns the body for those who look later what became of the call.
// One that streams, or is too long, is not kept.
func (s *Service) sealRequest(ctx context.Context, scope string, body []byte) (secret.Box, error) {
	if len(body) == 0 || len(body) > idempotency.MostKept {
		return "", nil
	}
	return s.Keyring.Seal(ctx, secret.New(string(body)), secret.Label(requestLabel, scope))
}

// sealReply returns X's answer for those who ask again; nothing where it is too
// long.
func (s *Service) sealReply(ctx context.Context, scope string, reply ports.Reply) (secret.Box, error) {
	if reply.Whole == nil && reply.Length != 0 {
		return "", nil
	}
	kept := answer{Header: map[string][]string{}, Body: reply.Whole}
	for _, name := range worthKeeping() {
		if v := reply.Header[name]; len(v) > 0 {
			kept.Header[name] = v
		}
	}
	text, err := json.Marshal(kept)
	if err != nil || len(text) > idempotency.MostKept {
		return "", err
	}
	return s.Keyring.Seal(ctx, secret.New(string(text)), secret.Label(replyLabel, scope))
}

// replay answers with what X answered to the first call. Where that is not kept
// its status is there beside the error.
func (s *Service) replay(ctx context.Context, key idempotency.Key, r idempotency.Record) (ports.Reply, error) {
	if r.Reply.Empty() {
		return ports.Reply{Status: r.Status}, s.linked(notKept(r.Status), key)
	}
	text, err := s.Keyring.Open(ctx, r.Reply, secret.Label(replyLabel, r.Scope))
	var kept answer
	if err == nil {
		err = json.Unmarshal([]byte(text.Reveal()), &kept)
	}
	if err != nil { // the key that sealed it was retired within a day
		return ports.Reply{}, s.unknown(key, "X was asked before, but its answer cannot be opened any more; look at X "+
			"what became of it, and use a new key").Because(err)
	}
	if kept.Header == nil {
		kept.Header = map[string][]string{}
	}
	if kept.Body == nil {
		kept.Body = []byte{}
	}
	return again(r.Status, kept.Header, kept.Body), nil
}

// again is an earlier answer of X's, marked as such.
func again(status int, header map[string][]string, body []byte) ports.Reply {
	header[replayed] = []string{"true"}
	return ports.Reply{
		Status: status, Header: header, Whole: body, Length: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
	}
}

// notKept says that X has answered, and no more.
func notKept(status int) *fault.Error {
	return fault.New(fault.Conflict, "this was done before (X said %d), but "+
		"X's answer is not kept: it was too long, or too many came after it; look it up at X", status).
		Named("idempotency-answer-not-kept")
}
