package main

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"perch/adapters/keyring"
	"perch/app/keyset"
)

type keysetList struct {
	sealedStores
	JSON bool `name:"json" help:"Answer in JSON, for scripts."`
}

// A keyUse is a key and how much it seals.
type keyUse struct {
	ID      string         `json:"id"`
	State   string         `json:"state"`
	Created *time.Time     `json:"created_at"`
	Since   *time.Time     `json:"seals_since"`
	Boxes   map[string]int `json:"boxes"` // by kind; null where the stores could not be looked into
}

// The state of keys that seal boxes and are not in the file, and of boxes that
// do not tell their key.
const (
	missingKey = "MISSING"
	unknownKey = "UNKNOWN"
)

// Run lists keys, those that are missed among them.
func (v keysetList) Run(ctx context.Context, p *program) error {
	ring, err := keyring.Open(v.KeysetFile)
	if err != nil {
		return v.explained(err)
	}
	var counts []keyset.Census
	_, service, shut, failed := v.open(ctx, p)
	if failed == nil {
		b := newBar(p.err)
		counts, failed = service.Count(ctx, b.tell)
		b.end()
		shut()
	}
	if failed != nil {
		counts = nil
		p.note("perch: what the keys seal could not be counted: %v\n", failed)
	}
	uses := usesOf(ring.Keys(), counts)
	if v.JSON {
		return asJSON(p.out, map[string]any{"file": v.KeysetFile, "keys": uses})
	}
	showUses(p, uses, counts)
	for _, c := range counts {
		if c.Shut.Count > 0 {
			p.note("%d of the %s have a box that does not open: %s. Restore them, or the missing key, from a backup.\n",
				c.Shut.Count, c.Kind, printable(c.Shut.String()))
		}
	}
	if failed != nil {
		return errReported
	}
	return nil
}

func usesOf(keys []keyring.Key, counts []keyset.Census) (uses []keyUse) {
	missed := map[string]bool{}
	for _, c := range counts {
		for id := range c.Boxes {
			missed[id] = true
		}
	}
	for _, k := range keys {
		delete(missed, k.ID)
		uses = append(uses, keyUse{k.ID, string(k.State), orNil(k.Created), orNil(k.Since), boxesOf(k.ID, counts)})
	}
	for _, id := range slices.Sorted(maps.Keys(missed)) {
		state := missingKey
		if id == "" {
			state = unknownKey
		}
		uses = append(uses, keyUse{ID: id, State: state, Boxes: boxesOf(id, counts)})
	}
	return uses
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func boxesOf(id string, counts []keyset.Census) map[string]int {
	if counts == nil {
		return nil
	}
	boxes := map[string]int{}
	for _, c := range counts {
		boxes[strings.ToLower(strings.ReplaceAll(c.Kind, " ", "_"))] = c.Boxes[id]
	}
	return boxes
}

func showUses(p *program, uses []keyUse, counts []keyset.Census) {
	heading := "KEY\tSTATE\tCREATED\tSEALS SINCE"
	for _, c := range counts {
		heading += "\t" + strings.ToUpper(c.Kind)
	}
	var rows [][]string
	for _, u := range uses {
		row := []string{u.ID, u.State, when(u.Created), when(u.Since)}
		for _, c := range counts {
			row = append(row, strconv.Itoa(c.Boxes[u.ID]))
		}
		rows = append(rows, row)
	}
	table(p.out, heading, rows)
}
