package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"perch/adapters/journal"
	"perch/cmd/internal/config"
)

// journal looks at what bridges the moment between X's answer and the vault's.
func (e *exam) journal(ctx context.Context) {
	const about = "journal"
	dir := e.cfg.Journal
	kind, _ := config.Backend(e.cfg.Vault)
	if dir == "off" {
		if kind != "memory" {
			e.add(doubtful, about, "it is off, so a crash between X's answer and the store's loses a grant; "+
				"give PERCH_JOURNAL a folder on a disk that stays")
		}
		return
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if up, err := os.Stat(filepath.Dir(filepath.Clean(dir))); err != nil || !up.IsDir() {
			e.add(broken, about, "%s cannot be made, because the folder it would be in is not there; make that one, "+
				"or set PERCH_JOURNAL", dir)
			return
		}
		if e.unsettled > 0 {
			e.add(doubtful, about, "%s does not exist, and %d grants are in the midst of a refresh; if they were served with "+
				"another folder, what X gave them may be there: name it with PERCH_JOURNAL", dir, e.unsettled)
			return
		}
		e.add(fine, about, "%s does not exist yet; perch serve makes it", dir)
		return
	case err == nil && !info.IsDir():
		e.add(broken, about, "%s is a file, and a folder is wanted; set PERCH_JOURNAL to another name", dir)
		return
	case err != nil:
		e.add(broken, about, "%v; let Perch read it, or set PERCH_JOURNAL to another folder", err)
		return
	case info.Mode().Perm()&0o077 != 0:
		e.add(doubtful, about, "%s can be read by others (mode %04o); run: chmod 700 %s", dir, info.Mode().Perm(), dir)
	}
	e.renewals(ctx, about, dir)
}

// renewals tells what is in the journal.
func (e *exam) renewals(ctx context.Context, about, dir string) {
	j, err := journal.Open(dir)
	if err != nil {
		e.add(broken, about, "%s: %v", dir, err)
		return
	}
	pending, err := j.Pending(ctx)
	if err != nil {
		e.add(broken, about, "%v", err)
		return
	}
	if damaged, err := j.Damaged(); err != nil || damaged > 0 {
		e.add(broken, about, "%s has %d entries that cannot be read, as after a power failure; their grants go on with "+
			"what the vault has, and their files can be removed", dir, damaged)
	}
	if len(pending) > 0 {
		e.add(doubtful, about, "%s has tokens of %d grants that the vault does not have yet, as %s; a Perch that serves "+
			"that vault brings them there within a second. If they stay, PERCH_VAULT is not theirs",
			dir, len(pending), pending[0].Grant)
		return
	}
	e.add(fine, about, "%s can be written, and nothing waits in it", dir)
}
