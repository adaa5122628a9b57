package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"perch/adapters/keyring"
	"perch/app/keyset"
	"perch/cmd/internal/config"
	"perch/cmd/internal/wiring"
)

type keysetVerbs struct {
	New    keysetNew    `cmd:"" help:"Make a keyset where there is none. perch serve does so, too."`
	Rotate keysetRotate `cmd:"" help:"Let another key seal from now on. What older keys have sealed still opens."`
	List   keysetList   `cmd:"" help:"List the keys, and how much each of them still seals."`
	Reseal keysetReseal `cmd:"" help:"Bring everything that is stored under the key that seals. Perch may serve meanwhile."`
	Retire keysetRetire `cmd:"" help:"Remove a key that seals nothing any more."`

	Recipient recipientMake `cmd:"" help:"Make a pair of keys that an export of grants is sealed with."`
}

// keysetFile says where the keys are.
type keysetFile struct {
	KeysetFile string `env:"PERCH_KEYSET_FILE" default:"./perch.keyset.json" placeholder:"FILE" help:"The keys that seal what is stored."`
}

// sealedStores says where what they sealed is.
type sealedStores struct {
	keysetFile
	Store string `env:"PERCH_STORE" default:"sqlite:./perch.db" placeholder:"URL" help:"Where everything is kept, as for perch serve."`
	Vault string `env:"PERCH_VAULT" placeholder:"URL" help:"Where grants are kept, if elsewhere than the rest."`

	apart

	Cloudflare config.Cloudflare `embed:"" prefix:"cloudflare-" envprefix:"PERCH_CLOUDFLARE_"`

	Journal string `env:"PERCH_JOURNAL" placeholder:"FOLDER" help:"The journal of this machine, as for perch serve."`
}

// open opens the keys and all that they may have sealed.
func (s sealedStores) open(ctx context.Context, p *program) (*keyring.Ring, *keyset.Service, func(), error) {
	cfg := s.on(config.Config{Store: s.Store, Vault: s.Vault, Journal: s.Journal, Cloudflare: s.Cloudflare})
	if mistakes := p.settings.SettleStores(&cfg); len(mistakes) > 0 {
		return nil, nil, nil, mistakes
	}
	ring, err := keyring.Open(s.KeysetFile)
	if err != nil {
		return nil, nil, nil, s.explained(err)
	}
	log := slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ring.Follow(log)
	journal, err := wiring.OpenJournal(cfg)
	if err != nil {
		return nil, nil, nil, err
	}
	stores, shut, err := wiring.Open(ctx, cfg, log)
	if err != nil {
		return nil, nil, nil, err
	}
	return ring, keyset.New(keyset.Parts{
		Grants: stores.Vault, XApps: stores.Registry.XApps(), SigningKeys: stores.SigningKeys,
		Deliveries: stores.Deliveries, Journal: journal, Keyring: ring,
	}), shut, nil
}

// explained says what to do where there is no file.
func (f keysetFile) explained(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return config.Mistakes{{Variable: "PERCH_KEYSET_FILE", Say: "is " + f.KeysetFile + ", which does not exist; " +
			"set it to where the keyset is, or make one with perch keyset new"}}
	}
	return err
}

type keysetNew struct{ keysetFile }

// Run makes a keyset.
func (v keysetNew) Run(p *program) error {
	err := keyring.Generate(v.KeysetFile)
	if errors.Is(err, fs.ErrExist) {
		return errors.New(v.KeysetFile + " exists already and is left as it is; perch keyset rotate adds a key to it")
	}
	if err != nil {
		return err
	}
	ring, err := keyring.Open(v.KeysetFile)
	if err != nil {
		return err
	}
	p.say("made %s; the key %s seals\n", v.KeysetFile, ring.Primary())
	p.note("Back it up, apart from the database: nothing that is stored can be opened without it.\n")
	return nil
}

type keysetRotate struct {
	keysetFile
	Stage bool `help:"Add a key that does not seal yet. For replicas that have copies of the file: stage, copy the file to all of them, rotate, copy it again. One file that all share needs one step."`
}

// Help says what a rotation does not do.
func (keysetRotate) Help() string {
	return "Perch takes the new key up within seconds, without a restart. Back the file up at once: what the new key " +
		"seals is lost without it. The peppers, which make digests of API keys, stay as they are: a digest cannot be " +
		"made anew without the key it is of. Then perch keyset reseal brings what is stored under the new key, " +
		"and perch keyset retire removes the old one."
}

// Run rotates the keys.
func (v keysetRotate) Run(p *program) error {
	change := keyring.Rotate
	if v.Stage {
		change = keyring.Stage
	}
	keys, err := change(v.KeysetFile)
	if err != nil {
		return v.explained(err)
	}
	if v.Stage {
		k := keys[slices.IndexFunc(keys, func(k keyring.Key) bool { return k.State == keyring.Staged })]
		p.say("staged %s: it opens, and does not seal yet\n", k.ID)
		p.note("Copy %s to every replica and back it up. When all have it, let the key seal: perch keyset rotate\n",
			v.KeysetFile)
		return nil
	}
	k := keys[slices.IndexFunc(keys, func(k keyring.Key) bool { return k.State == keyring.Primary })]
	p.say("%s seals from now on\n", k.ID)
	p.note("Back up %s now, and copy it to replicas that have copies. Then: perch keyset reseal\n", v.KeysetFile)
	return nil
}

type keysetRetire struct {
	sealedStores
	Key string `arg:"" help:"The key, as perch keyset list shows it."`
}

// Help says what nobody can look into.
func (keysetRetire) Help() string {
	return "The key is removed only if nothing in the stores that the settings name is sealed with it. Backups of the " +
		"database from before the resealing still need it: keep the backup of the keyset that goes with them. So do " +
		"renewals in the journals of replicas that are down: start each of them once before."
}

// Run removes a key that is not needed.
func (v keysetRetire) Run(ctx context.Context, p *program) error {
	ring, service, shut, err := v.open(ctx, p)
	if err != nil {
		return err
	}
	defer shut()
	keys := ring.Keys()
	if i := slices.IndexFunc(keys, func(k keyring.Key) bool { return k.ID == v.Key }); i < 0 {
		return errors.New(v.KeysetFile + " has no key " + v.Key + "; perch keyset list shows those it has")
	}
	stopped, err := v.stopped(keys)
	if err != nil {
		return err
	}
	b := newBar(p.err)
	err = service.Retirable(ctx, v.Key, stopped, b.tell)
	b.end()
	if err != nil {
		return err
	}
	if _, err := keyring.Retire(v.KeysetFile, v.Key); err != nil {
		return err
	}
	p.say("retired %s: nothing that is stored was sealed with it\n", v.Key)
	p.note("Backups of the database from before the resealing still need it: " +
		"keep the backup of the keyset that goes with them.\n")
	return nil
}

// stopped is when the key ceased to seal; where the keyset does not tell, it
// was before the file was changed for the last time.
func (v keysetRetire) stopped(keys []keyring.Key) (time.Time, error) {
	at := keyring.Stopped(keys, v.Key)
	staged := slices.ContainsFunc(keys, func(k keyring.Key) bool { return k.ID == v.Key && k.State == keyring.Staged })
	if staged || !at.IsZero() {
		return at, nil
	}
	stat, err := os.Stat(v.KeysetFile)
	if err != nil {
		return at, err
	}
	return stat.ModTime(), nil
}
