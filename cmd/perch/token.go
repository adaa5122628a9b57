package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"perch/cmd/internal/config"
	"perch/domain/secret"
)

// withAdminToken gives settings without a founding token the one from its
// usual file, which is made if there is none.
func (p *program) withAdminToken(cfg config.Config) (config.Config, error) {
	if cfg.AdminListen == "" || cfg.AdminTokenOff || !cfg.AdminToken.Empty() {
		return cfg, nil
	}
	file := config.DefaultAdminTokenFile
	token := rand.Text() + rand.Text()
	err := writeNew(file, token+"\n")
	switch {
	case err == nil:
		p.note("Made the founding token, with which operators begin; it is in %s.\n", file)
		cfg.AdminToken = secret.New(token)
		return cfg, nil
	case !errors.Is(err, fs.ErrExist):
		return cfg, fmt.Errorf("the founding token cannot be kept (%w); set PERCH_ADMIN_TOKEN", err)
	}
	return usualToken(cfg)
}

// usualToken reads the founding token from the file that perch serve made.
func usualToken(cfg config.Config) (config.Config, error) {
	file := config.DefaultAdminTokenFile
	if err := private(file); err != nil {
		return cfg, err
	}
	text, err := tokenFrom("PERCH_ADMIN_TOKEN_FILE", file)
	if err != nil {
		return cfg, err
	}
	cfg.AdminToken, cfg.AdminTokenFile = text, file
	about := func(m config.Mistake) bool { return m.Variable != "PERCH_ADMIN_TOKEN" }
	if mistakes := slices.DeleteFunc(cfg.Check(), about); len(mistakes) > 0 {
		return cfg, fmt.Errorf("%w. Or delete %s, and perch serve makes a new one", mistakes, file)
	}
	return cfg, nil
}

// tokenFrom reads the founding token from a file.
func tokenFrom(setting, file string) (secret.Text, error) {
	text, mistakes := config.SecretFile(setting, file)
	switch {
	case len(mistakes) == 0:
		return text, nil
	case file == config.DefaultAdminTokenFile:
		return text, fmt.Errorf("%s holds no founding token: it is empty, broken or cannot be read; "+
			"delete it, and perch serve makes a new one", file)
	}
	return text, mistakes
}

// ownToken reads the operator's token from a file, and warns if others can read
// it too.
func (p *program) ownToken(file string) (secret.Text, error) {
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
		if err := private(file); err != nil {
			p.note("perch: %v\n", err)
		}
	}
	return tokenFrom("PERCH_ADMIN_TOKEN_FILE", file)
}

// private refuses a file that others than its owner may read.
func private(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s can be read by others (mode %04o); run: chmod 600 %s", file, info.Mode().Perm(), file)
	}
	return nil
}

// writeNew writes a file for its owner's eyes only. It appears whole or not at
// all; if there is one already the error is fs.ErrExist.
func writeNew(path, text string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".perch-new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}
