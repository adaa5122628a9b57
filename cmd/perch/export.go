package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"perch/adapters/keyring"
	"perch/app/keyset"
	"perch/app/moving"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/ports"
)

// told is of how many single things a verb speaks before it only counts them.
const told = 20

// lately is how long after a change a Perch may still be serving.
const lately = 5 * time.Minute

type grantExport struct {
	places
	To        string `required:"" placeholder:"FILE.pub" help:"The public half of the recipient's pair; perch keyset recipient makes one."`
	App       string `placeholder:"ID" help:"Only what belongs to this client application."`
	Journal   string `env:"PERCH_JOURNAL" placeholder:"FOLDER" help:"Perch's journal on this machine; without it, ./perch.journal. Nothing is exported while something is left in it."`
	Unsettled bool   `help:"Also grants that were being refreshed when Perch ended, though nobody knows what X did."`
}

// Help says what is in an export and how it is done.
func (grantExport) Help() string {
	return `Stop every Perch that serves the store first: X's refresh tokens work once, so a grant that is refreshed
after it was exported is lost where it is imported.

The export goes to standard output, sealed to the recipient. It holds grants with their tokens, and the client
applications, API keys and X Apps they need; no sessions, so people sign in to pages again. API keys work where
the keyset is the same, or holds the same peppers.`
}

// Run exports what the settings' stores hold.
func (v grantExport) Run(ctx context.Context, p *program) error {
	ctx, stop := stoppable(ctx)
	defer stop()
	to, err := keyring.OpenRecipient(v.To)
	if err != nil {
		return err
	}
	if newBar(p.out).terminal {
		return misuse("the export goes to standard output; send it to a file, as > grants.perch")
	}
	stores, ring, shut, err := v.open(ctx, p, wiring.KeysFor)
	if err != nil {
		return err
	}
	defer shut()
	if err := v.nothingPending(ctx, stores.Vault); err != nil {
		return err
	}
	pack, err := keyring.Pack(p.out, to)
	if err != nil {
		return err
	}
	bar, left := newBar(p.err), &reasons{p: p}
	done, err := moving.New(stores.Vault, stores.Registry, ring).Export(ctx, moving.Order{
		App: client.AppID(v.App), Unsettled: v.Unsettled,
		At:   func(n int) { bar.tell(keyset.Progress{Doing: "exporting grants", Rows: n}) },
		Left: func(id oauth.GrantID, why string) { left.tell("grant " + string(id) + " " + why) },
	}, pack.Put)
	bar.end()
	if err != nil {
		return fmt.Errorf("the export is not whole and cannot be imported: %w", err)
	}
	sum, err := pack.Close()
	if err != nil {
		return fmt.Errorf("the export is not whole and cannot be imported: %w", err)
	}
	left.end()
	return v.report(p, done, to.ID, sum)
}

// nothingPending refuses to export what the journal knows better. What it holds
// of other stores, or of long ago, is no matter.
func (v grantExport) nothingPending(ctx context.Context, vault ports.TokenVault) error {
	cfg := config.Config{Store: v.Store, Journal: v.Journal}.Settled()
	journal, err := wiring.OpenJournal(cfg)
	if err != nil {
		return err
	}
	pending, err := journal.Pending(ctx)
	if err != nil {
		return err
	}
	newer := 0
	for _, r := range pending {
		g, err := vault.Get(ctx, r.Grant)
		switch {
		case errors.Is(err, fault.NotFound):
		case err != nil:
			return err
		case g.Generation <= r.Generation && g.State != oauth.Revoked:
			newer++
		}
	}
	if newer > 0 {
		return fmt.Errorf("the journal %s has newer tokens than the store, of %d grants; start Perch once, which brings "+
			"them there, stop it, and export again. If that does not help, perch doctor tells more", cfg.Journal, newer)
	}
	return nil
}

func (v grantExport) report(p *program, done moving.Exported, recipient, sum string) error {
	p.note("exported=%d left=%d applications=%d api_keys=%d x_apps=%d\n",
		done.Grants, done.Left, done.Apps, done.Keys, done.XApps)
	p.note("Sealed to %s; its SHA-256 is %s.\n", recipient, sum)
	if done.Untold > 0 {
		p.note("%d of the grants are revoked and X could not be told yet: revoke them again from this store, "+
			"for their tokens are not exported.\n", done.Untold)
	}
	if age := time.Since(done.Changed); age < lately {
		p.note("A grant was changed %v ago. If a Perch still serves %s, stop it and export again.\n",
			max(age, 0).Round(time.Second), config.Shown(v.Store))
	}
	p.note("Once this is imported, never serve %s again: the first of both to refresh a grant ends it at the other.\n",
		config.Shown(v.Store))
	if done.Left > 0 {
		return errReported
	}
	return nil
}

// reasons tells of single things, as long as that helps.
type reasons struct {
	p *program
	n int
}

func (r *reasons) tell(what string) {
	if r.n++; r.n <= told {
		r.p.note("%s\n", what)
	}
}

func (r *reasons) end() {
	if r.n > told {
		r.p.note("… and %d more\n", r.n-told)
	}
}
