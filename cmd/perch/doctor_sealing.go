package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/ports"
)

const signingKeys = "signing keys"

// countFor is how long the grants of each key are counted.
const countFor = patience / 2

// sealing is how many things of each kind each key seals.
type sealing struct {
	by      map[string]map[string]int // by kind, then by key
	grants  int
	stopped bool // there are more grants
}

// seals notes which keys seal the boxes of one thing.
func (e *exam) seals(kind string, boxes ...secret.Box) {
	if e.ring == nil {
		return
	}
	keys := map[string]bool{}
	for _, b := range boxes {
		if !b.Empty() {
			keys[e.ring.KeyOf(b)] = true
		}
	}
	if e.sealing.by == nil {
		e.sealing.by = map[string]map[string]int{}
	}
	for key := range keys {
		if e.sealing.by[kind] == nil {
			e.sealing.by[kind] = map[string]int{}
		}
		e.sealing.by[kind][key]++
	}
}

// census counts grants, all of them if time allows: what seals them, and how they
// are.
func (e *exam) census(ctx context.Context, vault ports.TokenVault) {
	after := oauth.GrantID("")
	for end := time.Now().Add(countFor); ; {
		page, err := vault.List(ctx, "", after, 500)
		if err != nil || len(page) == 0 {
			break // what cannot be read has been reported
		}
		for _, g := range page {
			e.seals("grants", g.Access, g.Refresh)
			if g.State == oauth.Suspect {
				e.suspect++
			}
			if g.Unsettled() {
				e.unsettled++
			}
		}
		e.sealing.grants += len(page)
		after = page[len(page)-1].ID
		if time.Now().After(end) {
			e.sealing.stopped = true
			break
		}
	}
	if e.suspect > 0 {
		e.add(doubtful, "grants", "X refuses to refresh %d of %s; if that lasts, their users must connect again. "+
			"perch grants list shows which are suspect", e.suspect, e.counted())
	}
}

// counted says of how many grants is spoken.
func (e *exam) counted() string {
	of := fmt.Sprintf("%d grants", e.sealing.grants)
	if e.sealing.stopped {
		of = "the first " + of
	}
	return of
}

// older reports what keys seal that are not the primary one.
func (e *exam) older() {
	const about = "sealing"
	primary := e.ring.Primary()
	var old []string
	for _, kind := range slices.Sorted(maps.Keys(e.sealing.by)) {
		for _, key := range slices.Sorted(maps.Keys(e.sealing.by[kind])) {
			if key != primary {
				old = append(old, fmt.Sprintf("%s: %d %s", key, e.sealing.by[kind][key], kind))
			}
		}
	}
	of := e.counted()
	if len(old) > 0 {
		e.add(doubtful, about, "older keys than %s still seal what is stored (%s; of %s); bring it under that key "+
			"with perch keyset reseal", primary, strings.Join(old, ", "), of)
		return
	}
	if len(e.sealing.by) > 0 {
		e.add(fine, about, "everything looked at is sealed with %s, %d of %s", primary, e.sealing.by["grants"][primary], of)
	}
}
