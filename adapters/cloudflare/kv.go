package cloudflare

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"perch/domain/fault"
	"perch/ports"
)

// KV keeps grants and the registry in a namespace of Workers KV, which by itself
// can do neither safely: it has no compare-and-swap, and what it shows may be a
// minute old. So what is true at the moment are heads, in a store that is atomic;
// every write goes to a head first and then to KV. KV is read only when heads are
// founded: at the first start, or once they were lost.
type KV struct {
	home  *namespace
	heads ports.Heads
	epoch string // names the heads that the namespace belongs to

	followFor time.Duration // see there
}

var _ ports.Pinger = (*KV)(nil)

// ErrHeads says that the heads are not those that the namespace belongs to.
var ErrHeads = errors.New("the heads of Workers KV are not there")

// The epoch of heads is noted in KV under this key, and with them beside all
// others.
const (
	foundedKey = "perch/founded"
	marker     = "founded"
)

// OpenKV opens the namespace. Heads must be those it was opened with before: it
// refuses others, because KV alone may show tokens that X has taken back.
//
// A namespace without a note of its heads, as a new one, gets one, and what it
// holds becomes heads unless they are newer.
func OpenKV(ctx context.Context, cfg Config, id string, heads ports.Heads) (*KV, error) {
	kv, founded, err := LookAtKV(ctx, cfg, id, heads)
	if err != nil || founded {
		return kv, err
	}
	if err := kv.found(ctx); err != nil {
		return nil, errors.Join(kv.opening(err), kv.Close())
	}
	return kv, nil
}

// LookAtKV is OpenKV without writing: a namespace that has no note of its heads is
// not founded. What such a one keeps cannot be reached.
func LookAtKV(ctx context.Context, cfg Config, id string, heads ports.Heads) (kv *KV, founded bool, err error) {
	client, err := NewClient(cfg)
	if err != nil {
		return nil, false, err
	}
	kv = &KV{home: &namespace{client: client, id: id}, heads: heads, followFor: followFor}
	if founded, err = kv.known(ctx); err != nil {
		return nil, false, errors.Join(kv.opening(err), kv.Close())
	}
	return kv, founded, nil
}

func (kv *KV) opening(err error) error {
	return fmt.Errorf("open the namespace %s of Workers KV: %w", kv.home.id, err)
}

// Vault returns the store of grants.
func (kv *KV) Vault() ports.TokenVault { return newVault(kv) }

// Registry returns the store of client applications, API keys and X Apps.
func (kv *KV) Registry() ports.Registry { return newRegistry(kv) }

// Close closes connections that nobody uses.
func (kv *KV) Close() error {
	kv.home.client.Close()
	return nil
}

// pingEvery is how often KV is asked how it is where there is nothing else to
// tell by: its reads are counted.
const pingEvery = time.Minute

// Ping returns nil if KV answers. Serving does not depend on it.
func (kv *KV) Ping(ctx context.Context) error {
	err, known := kv.home.last(pingEvery)
	if !known {
		_, _, err = kv.home.get(ctx, foundedKey)
	}
	if err != nil {
		return fault.New(fault.Unavailable, "Workers KV does not answer; what it misses is written later").Because(err)
	}
	return nil
}

// record is the ID of the head of what KV has under the key.
func (kv *KV) record(key string) string { return kv.home.id + "/" + key }

// beside is the ID of a head that has no counterpart in KV.
func (kv *KV) beside(name string) string { return kv.home.id + ":" + name }

// known reports whether the namespace has a note of its heads. It is an error if
// they are not these.
func (kv *KV) known(ctx context.Context) (bool, error) {
	theirs, noted, err := kv.home.get(ctx, foundedKey)
	if err != nil || !noted {
		return false, err
	}
	ours, err := kv.heads.Get(ctx, kv.beside(marker))
	if err != nil && !errors.Is(err, fault.NotFound) {
		return false, err
	}
	if ours.Body != theirs {
		return false, fmt.Errorf("%w: it was written to with other heads than those in this store (PERCH_LEASES), or "+
			"they were lost. KV alone may show refresh tokens that X has seen, and using one ends the user's grant. "+
			"Name the right store; or, if it is lost, stop every Perch, wait five minutes for KV to come to rest, "+
			"delete the key %s of the namespace and start one: it takes what KV shows", ErrHeads, foundedKey)
	}
	kv.epoch = ours.Body
	return true, nil
}

// found makes heads of what the namespace holds, and notes whose they are.
func (kv *KV) found(ctx context.Context) error {
	if err := kv.adopt(ctx); err != nil {
		return err
	}
	ours := ports.Head{ID: kv.beside(marker), Version: 1, Body: rand.Text()}
	switch err := kv.heads.Advance(ctx, 0, ours); {
	case errors.Is(err, fault.Conflict): // a replica was quicker, or heads are to be taken up again
		if ours, err = kv.heads.Get(ctx, ours.ID); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	kv.epoch = ours.Body
	_ = kv.heads.Settle(ctx, ours.ID, ours.Version) // nobody asks
	return kv.home.put(ctx, foundedKey, kv.epoch)
}

// head returns the head of a record, the zero one where there is none. That a
// store has no head of a record means nothing if it has none at all.
func (kv *KV) head(ctx context.Context, id string) (ports.Head, error) {
	h, err := kv.heads.Get(ctx, id)
	if !errors.Is(err, fault.NotFound) {
		return h, err
	}
	switch marker, err := kv.heads.Get(ctx, kv.beside(marker)); {
	case err != nil && !errors.Is(err, fault.NotFound):
		return ports.Head{}, err
	case marker.Body != kv.epoch:
		return ports.Head{}, fault.New(fault.Unavailable, "the store does not answer; try again").Because(ErrHeads)
	}
	return ports.Head{}, nil
}

// followFor bounds what a write may take longer for the sake of KV.
const followFor = 2 * time.Second

// follow gives KV what the head has. Where that does not work, the head stays
// unsettled for Sync: KV takes one write of a key in a second, and a refresh
// makes more. Of several writers, the one who gave KV an older version last sees
// that the head has gone on, and gives it the newer one.
func (kv *KV) follow(ctx context.Context, key string, h ports.Head) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), kv.followFor)
	defer cancel()
	for {
		if err := kv.write(ctx, key, h); err != nil {
			return err
		}
		err := kv.heads.Settle(ctx, h.ID, h.Version)
		if !errors.Is(err, fault.Conflict) {
			return err
		}
		if h, err = kv.heads.Get(ctx, h.ID); err != nil {
			return err
		}
	}
}

func (kv *KV) write(ctx context.Context, key string, h ports.Head) error {
	if h.Body == "" {
		return kv.home.remove(ctx, key)
	}
	text, err := json.Marshal(entry{h.Version, json.RawMessage(h.Body)})
	if err != nil {
		return err
	}
	return kv.home.put(ctx, key, string(text))
}

// An entry is a value in KV.
type entry struct {
	Version int64           `json:"version"`
	Record  json.RawMessage `json:"record"`
}

// Sync gives KV what it misses and returns how many records that were. It is for
// calling from time to time.
func (kv *KV) Sync(ctx context.Context) (int, error) {
	theirs, noted, err := kv.home.get(ctx, foundedKey)
	switch {
	case err != nil:
		return 0, err
	case noted && theirs != kv.epoch:
		return 0, fmt.Errorf("%w: another Perch writes to the namespace %s with heads of its own; stop one of them",
			ErrHeads, kv.home.id)
	}
	synced := 0
	for after := ""; ; {
		page, err := kv.heads.Unsettled(ctx, kv.record(""), after, mostGets)
		if err != nil || len(page) == 0 {
			return synced, err
		}
		for _, h := range page {
			if err := kv.follow(ctx, h.ID[len(kv.record("")):], h); err != nil {
				return synced, err
			}
			synced++
		}
		after = page[len(page)-1].ID
	}
}
