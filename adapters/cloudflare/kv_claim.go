package cloudflare

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"perch/domain/fault"
	"perch/ports"
)

// How long somebody who has claimed an alias may take to store the record, and
// how often that is looked at.
const (
	claimPatience = time.Second
	claimGlance   = 10 * time.Millisecond
)

// claim takes an alias for the record with the ID, which is stored next. It
// returns fault.Conflict if the alias belongs to a record.
//
// An alias whose record does not come about is taken over: but first the place of
// that record is given a newer head, so that whoever is still about to store it
// finds that it has lost.
func (t *table[R, V]) claim(ctx context.Context, alias []string, id string) error {
	for start := time.Now(); ; {
		at, err := t.kv.head(ctx, t.aliased(alias))
		if err != nil {
			return err
		}
		free, err := t.free(ctx, at, alias, id, time.Since(start) > claimPatience)
		if err != nil {
			return err
		}
		if !free {
			if err := pause(ctx, claimGlance); err != nil {
				return err
			}
			continue
		}
		if at.Body == id {
			return nil
		}
		next := ports.Head{ID: t.aliased(alias), Version: at.Version + 1, Body: id}
		switch err := t.kv.heads.Advance(ctx, at.Version, next); {
		case err == nil:
			_ = t.kv.heads.Settle(ctx, next.ID, next.Version) // nobody asks
			return nil
		case !errors.Is(err, fault.Conflict):
			return err
		}
	}
}

// free reports whether the alias can be taken from the record it leads to. It is
// an error if that record is there and has it.
func (t *table[R, V]) free(
	ctx context.Context, at ports.Head, alias []string, id string, impatient bool,
) (bool, error) {
	if at.Body == "" || at.Body == id {
		return true, nil
	}
	h, err := t.kv.head(ctx, t.head(at.Body))
	if err != nil {
		return false, err
	}
	if h.Body != "" {
		v, err := t.read(h)
		if err == nil && t.has(v, alias) {
			err = t.taken()
		}
		return err == nil, err
	}
	if !impatient {
		return false, nil
	}
	err = t.kv.heads.Advance(ctx, h.Version, ports.Head{ID: t.head(at.Body), Version: h.Version + 1})
	if errors.Is(err, fault.Conflict) {
		return false, nil
	}
	return err == nil, err
}

// reclaim takes the alias of a record that is there.
func (t *table[R, V]) reclaim(ctx context.Context, body string) error {
	if t.alias == nil {
		return nil
	}
	row := new(R)
	if err := json.Unmarshal([]byte(body), row); err != nil {
		return err
	}
	v := t.value(row)
	return t.claim(ctx, t.alias(v), t.id(v))
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "the request ended before it was served").Because(ctx.Err())
	}
}
