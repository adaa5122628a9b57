package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"perch/adapters/keyring"
	"perch/app/keyset"
	"perch/app/moving"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
	"perch/domain/fault"
)

// movers is how many grants are written at once.
const movers = 8

// sealedImport is the import of what perch grants export wrote.
type sealedImport struct {
	places
	Sealed string `placeholder:"FILE" help:"What perch grants export wrote; it goes into the store directly, not through a running Perch."`
	Key    string `placeholder:"FILE" help:"The private half of the recipient's pair, which opens it."`
}

// run takes the export in. It is read twice: nothing is written before all of
// it has proved genuine.
func (v sealedImport) run(ctx context.Context, p *program, replace, asked bool) error {
	ctx, stop := stoppable(ctx)
	defer stop()
	if v.Key == "" {
		return misuse("--key names the private half of the pair that the export is sealed to")
	}
	key, err := keyring.OpenRecipientKey(v.Key)
	if err != nil {
		return err
	}
	file, err := regular(v.Sealed)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	stores, ring, shut, err := v.open(ctx, p, func(
		ctx context.Context, cfg config.Config, s wiring.Stores,
	) (*keyring.Ring, error) {
		return wiring.KeysFor(ctx, cfg, s)
	})
	if err != nil {
		return err
	}
	defer shut()
	m := &move{p: p, file: file, key: key, asJSON: asked, left: &reasons{p: p}, store: config.Shown(v.Store),
		arrival: moving.New(stores.Vault, stores.Registry, ring).Arrive(replace)}
	return m.run(ctx)
}

// regular opens a file that can be read twice.
func regular(path string) (*os.File, error) {
	file, err := os.Open(path) // #nosec G304 -- the operator's own path
	if err != nil {
		return nil, err
	}
	stat, err := file.Stat()
	if err == nil && !stat.Mode().IsRegular() {
		err = fmt.Errorf("%s is read twice, to write nothing of a damaged export, and a pipe cannot be; "+
			"save it to a file and name that", path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// A move is one import of an export under way.
type move struct {
	p       *program
	file    *os.File
	key     keyring.RecipientKey
	arrival *moving.Arrival
	store   string
	asJSON  bool
	left    *reasons

	mu   sync.Mutex
	bar  *bar
	done moved
}

// moved is how an import went. All but the last two are counts of grants.
type moved struct {
	Imported int    `json:"imported"`
	There    int    `json:"already_there"`
	Failed   int    `json:"failed"`
	Verified int    `json:"verified"`
	Useless  int    `json:"api_keys_left"`
	SHA256   string `json:"sha256"`
}

func (m *move) run(ctx context.Context) error {
	sum, err := m.through(func(kind string, record []byte) error { return m.arrival.Look(ctx, kind, record) })
	if err != nil {
		return fmt.Errorf("nothing was imported: %w", err)
	}
	found := m.arrival.Found
	m.p.note("The export is whole: grants=%d applications=%d api_keys=%d x_apps=%d; its SHA-256 is %s.\n",
		found[moving.KindGrant], found[moving.KindApp], found[moving.KindKey], found[moving.KindXApp], sum)
	m.bar = newBar(m.p.err)
	again, err := m.write(ctx)
	m.bar.end()
	m.left.end()
	if err == nil && again != sum {
		err = errors.New("the export was changed while it was read; import it again")
	}
	m.done.SHA256 = sum
	return m.report(err)
}

// through reads the export from its beginning and returns its sum.
func (m *move) through(each func(kind string, record []byte) error) (sum string, err error) {
	if _, err := m.file.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	u, err := keyring.Unpack(m.file, m.key)
	if err != nil {
		return "", err
	}
	for {
		kind, record, err := u.Next()
		if errors.Is(err, io.EOF) {
			return u.Sum(), nil
		}
		if err == nil {
			err = each(kind, record)
		}
		if err != nil {
			return "", err
		}
	}
}

// write takes the records in: grants several at once, all else one by one.
func (m *move) write(ctx context.Context) (sum string, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	grants := make(chan []byte)
	var group sync.WaitGroup
	for range movers {
		group.Go(func() {
			for record := range grants {
				if err := m.keep(ctx, moving.KindGrant, record); err != nil {
					cancel(err)
				}
			}
		})
	}
	sum, err = m.through(func(kind string, record []byte) error {
		if kind != moving.KindGrant {
			return m.keep(ctx, kind, record)
		}
		select {
		case grants <- record:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(grants)
	group.Wait()
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return sum, err
}

// keep takes one record in and counts it. It returns an error after which the
// next would fare no better.
func (m *move) keep(ctx context.Context, kind string, record []byte) error {
	o, err := m.arrival.Keep(ctx, kind, record)
	m.mu.Lock()
	defer m.mu.Unlock()
	alone := kind == moving.KindGrant && (errors.Is(err, fault.Conflict) || errors.Is(err, fault.Invalid))
	switch {
	case err != nil && !alone:
		return err
	case err != nil:
		m.done.Failed++
		m.left.tell(err.Error())
	case o.Result == moving.Useless:
		m.done.Useless++
	case o.Note != "":
		m.left.tell(kind + " " + o.ID + " " + o.Note)
	}
	if kind != moving.KindGrant || err != nil {
		return nil
	}
	if o.Verified {
		m.done.Verified++
	}
	if o.Result == moving.Imported {
		m.done.Imported++
	} else {
		m.done.There++
	}
	m.bar.tell(keyset.Progress{
		Doing: "importing grants",
		Rows:  m.done.Imported + m.done.There + m.done.Failed, Of: m.arrival.Found[moving.KindGrant],
	})
	return nil
}

func (m *move) report(err error) error {
	d := m.done
	if m.asJSON {
		if err := asJSON(m.p.out, d); err != nil {
			return err
		}
	} else {
		m.p.say("imported=%d already_there=%d failed=%d verified=%d\n", d.Imported, d.There, d.Failed, d.Verified)
	}
	if d.Useless > 0 {
		m.p.note("%d API keys were left out: this keyset lacks a pepper of the one they were made with, so nobody could "+
			"use them. Make new ones with perch keys add, or import with the keyset they come from.\n", d.Useless)
	}
	if err != nil {
		return fmt.Errorf("stopped: %w. Import again when that is repaired: what is there by then stays", err)
	}
	m.p.note("Serve %s from now on and never the store this comes from: the first of both to refresh a grant ends it at "+
		"the other. People sign in to pages again. Delete the export and the recipient's key.\n", m.store)
	if d.Failed > 0 {
		return errReported
	}
	return nil
}
