package main

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"perch/adapters/keyring"
	"perch/domain/secret"
	"perch/ports"
)

// A sealed thing is one box and what it was sealed under.
type sealed struct {
	box   secret.Box
	label string
}

// A trial is how many boxes of a kind there were to open, and how many did not.
type trial struct {
	what        string
	tried, shut int
}

// openKeys opens the keys, if they are there. What is stored tells later
// whether they are the right ones.
func (e *exam) openKeys(context.Context) {
	if e.cfg.KeysetFile != "" {
		e.ring, e.keysetErr = keyring.Open(e.cfg.KeysetFile)
	}
}

// opened tries the boxes and returns how many do not open with the keys there
// are.
func (e *exam) opened(ctx context.Context, what string, boxes []sealed) int {
	t := trial{what: what}
	for _, b := range boxes {
		if b.box.Empty() {
			continue
		}
		t.tried++
		if e.ring == nil {
			continue
		}
		if _, err := e.ring.Open(ctx, b.box, b.label); err != nil {
			t.shut++
			if key := e.ring.KeyOf(b.box); !slices.ContainsFunc(e.ring.Keys(), func(k keyring.Key) bool { return k.ID == key }) {
				e.lacks = key
			}
		}
	}
	if t.tried > 0 {
		e.trials = append(e.trials, t)
	}
	return t.shut
}

// signing tries the newest signing key, as perch serve does.
func (e *exam) signing(ctx context.Context, store ports.SigningKeys) {
	list, err := store.List(ctx)
	if err != nil {
		e.add(broken, "signing keys", "cannot be read: %v", err)
		return
	}
	for _, k := range list {
		e.seals(signingKeys, k.Private)
	}
	if len(list) > 0 {
		k := list[0]
		e.opened(ctx, signingKeys, []sealed{{k.Private, secret.Label(ports.SigningKeyLabel, k.ID)}})
	}
}

// keyset judges the keys by what is stored.
func (e *exam) keyset(context.Context) {
	const about = "keyset"
	file := e.cfg.KeysetFile
	var kinds []string
	tried, shut := 0, 0
	for _, t := range e.trials {
		kinds = append(kinds, t.what)
		tried, shut = tried+t.tried, shut+t.shut
	}
	switch {
	case file == "":
		e.add(fine, about, "the keys are made at the start and end with Perch, as what is in memory: does")
	case errors.Is(e.keysetErr, fs.ErrNotExist) && tried > 0:
		e.add(broken, about, "%s does not exist, but what is stored was sealed with it (%s); restore it from a backup, "+
			"or name the right file with PERCH_KEYSET_FILE", file, strings.Join(kinds, ", "))
	case errors.Is(e.keysetErr, fs.ErrNotExist):
		e.add(fine, about, "%s does not exist yet; perch serve makes it", file)
	case e.keysetErr != nil:
		e.add(broken, about, "%v. PERCH_KEYSET_FILE names the file", e.keysetErr)
	case tried > 0 && e.lacks != "":
		e.add(broken, about, "%s (its primary key is %s) lacks the key %s, which something stored is sealed with. If "+
			"another replica has rotated its keys, copy its newest keyset file here; otherwise restore a backup of it, or set "+
			"PERCH_KEYSET_FILE to the one that belongs to this store", file, e.ring.Primary(), e.lacks)
	case tried > 0 && shut == tried:
		e.add(broken, about, "%s (its primary key is %s) opens nothing of what is stored (%s), so it belongs to another "+
			"store; set PERCH_KEYSET_FILE to the one that belongs to this", file, e.ring.Primary(), strings.Join(kinds, ", "))
	default:
		e.add(fine, about, "%s opens; its primary key is %s. Have a backup: nothing stored opens without it",
			file, e.ring.Primary())
		e.shut()
		e.older()
	}
}

// sameXApp compares the X App of the settings with the one that grants were
// given to; perch serve refuses another.
func (e *exam) sameXApp(context.Context) {
	if now := e.cfg.X.ClientID; e.byDefault && now != "" && e.wasDefault != "" && e.wasDefault != now {
		e.add(broken, "X App", "PERCH_X_CLIENT_ID is %q, and grants in the store were given to the X App with the "+
			"client ID %q; set it back. To use another X App beside it, add that one with perch xapps add", now, e.wasDefault)
	}
}

// shut reports single boxes that the right keys do not open.
func (e *exam) shut() {
	for _, t := range e.trials {
		if t.shut > 0 {
			e.add(broken, t.what, "%d of %d tried do not open with %s; they were sealed with a key that is not in it, "+
				"or damaged. Restore the store or the keyset from a backup", t.shut, t.tried, e.cfg.KeysetFile)
		}
	}
}
