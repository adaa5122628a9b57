package cloudflare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"perch/domain/fault"
	"perch/ports"
)

// adopt makes heads of what the namespace holds, unless they are newer. Several
// may do so at once.
func (kv *KV) adopt(ctx context.Context) error {
	vault, registry := newVault(kv), newRegistry(kv)
	for _, kind := range []struct {
		prefix string
		claim  func(ctx context.Context, body string) error
	}{
		{vault.grants.key(""), vault.grants.reclaim},
		{registry.apps.apps.key(""), registry.apps.apps.reclaim},
		{registry.keys.keys.key(""), registry.keys.keys.reclaim},
		{registry.xapps.xapps.key(""), registry.xapps.xapps.reclaim},
	} {
		for cursor := ""; ; {
			keys, next, err := kv.home.page(ctx, kind.prefix, cursor)
			if err != nil {
				return err
			}
			if err := kv.adoptThese(ctx, keys, kind.claim); err != nil {
				return err
			}
			if cursor = next; cursor == "" {
				break
			}
		}
	}
	return nil
}

func (kv *KV) adoptThese(ctx context.Context, keys []string, claim func(context.Context, string) error) error {
	for some := range slices.Chunk(keys, mostGets) {
		values, err := kv.home.some(ctx, some)
		if err != nil {
			return err
		}
		for _, key := range some {
			value, ok := values[key]
			if !ok {
				continue // removed a moment ago
			}
			record, err := kv.adoptOne(ctx, key, value)
			if err != nil {
				return err
			}
			if err := claim(ctx, record); err != nil && !errors.Is(err, fault.Conflict) {
				return err
			}
		}
	}
	return nil
}

// adoptOne makes a head of the value under the key and returns its record.
func (kv *KV) adoptOne(ctx context.Context, key, value string) (record string, err error) {
	var e entry
	if err := json.Unmarshal([]byte(value), &e); err != nil || e.Version < 1 || len(e.Record) == 0 {
		return "", fmt.Errorf("what KV has under %q was not written by Perch; move it elsewhere", key)
	}
	next := ports.Head{ID: kv.record(key), Version: e.Version, Body: string(e.Record)}
	return next.Body, kv.advance(ctx, next)
}

// advance stores the head unless the one that is stored is newer.
func (kv *KV) advance(ctx context.Context, next ports.Head) error {
	for {
		was, err := kv.heads.Get(ctx, next.ID)
		if err != nil && !errors.Is(err, fault.NotFound) {
			return err
		}
		if was.Version >= next.Version {
			return nil
		}
		switch err := kv.heads.Advance(ctx, was.Version, next); {
		case err == nil:
			_ = kv.heads.Settle(ctx, next.ID, next.Version) // else Sync does
			return nil
		case !errors.Is(err, fault.Conflict):
			return err
		}
	}
}
