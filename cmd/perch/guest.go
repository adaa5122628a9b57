package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"perch/adapters/xhttp/xsim"
	"perch/app/grants"
	"perch/cmd/internal/wiring"
	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/user"
	"perch/domain/xapp"
)

// A guest is the client application of perch dev, and a user who has connected
// already.
type guest struct {
	publishable string
	secretKey   secret.Text
	grant       oauth.GrantID
	username    string
}

// welcome registers the demo page and connects the first user of X in a box
// with every scope.
func welcome(ctx context.Context, house *wiring.House, sim *xsim.Sim, demoURL string) (guest, error) {
	app, err := house.Clients.Register(ctx, client.App{
		Name: "Demo", Origins: []client.Origin{client.Origin(demoURL)}, RedirectURIs: []string{demoURL + "/"},
		Scopes: oauth.Everything.List(),
	})
	if err != nil {
		return guest{}, err
	}
	_, publishable, err := house.Clients.IssueKey(ctx, apikey.Key{App: app.ID, Kind: apikey.Publishable})
	if err != nil {
		return guest{}, err
	}
	_, key, err := house.Clients.IssueKey(ctx, apikey.Key{App: app.ID, Kind: apikey.Secret, AppOnly: true})
	if err != nil {
		return guest{}, err
	}
	who := sim.Users()[0]
	tokens, err := sim.Issue(xsim.DefaultApp().ClientID, who.ID, oauth.Everything.List())
	if err != nil {
		return guest{}, err
	}
	g, err := house.Grants.Import(ctx, app.ID, xapp.Default, grants.Import{
		User:   user.User{ID: user.ID(who.ID), Username: who.Username, Name: who.Name},
		Access: secret.New(tokens.Access), Refresh: secret.New(tokens.Refresh), Scopes: oauth.Everything,
		Expires: time.Now().Add(time.Duration(tokens.ExpiresIn) * time.Second),
	})
	if err != nil {
		return guest{}, err
	}
	return guest{publishable.Reveal(), key, g.ID, who.Username}, nil
}

// write writes the files that the flags name.
func (g *playground) write(v devVerb) error {
	if v.CredentialsFile != "" {
		text, err := g.credentials()
		if err == nil {
			err = writePrivate(v.CredentialsFile, text)
		}
		if err != nil {
			return fmt.Errorf("the credentials file cannot be written: %w", err)
		}
	}
	if v.AdminTokenFile != "" {
		if err := writePrivate(v.AdminTokenFile, []byte(g.cfg.AdminToken.Reveal())); err != nil {
			return fmt.Errorf("the file for the operators' token cannot be written: %w", err)
		}
	}
	return nil
}

// credentials are what a script needs to use the playground.
func (g *playground) credentials() ([]byte, error) {
	return json.MarshalIndent(map[string]string{
		"base_url":    g.cfg.PublicURL,
		"admin_url":   urlOf(g.admin),
		"admin_token": g.cfg.AdminToken.Reveal(),
		"x_url":       urlOf(g.x),
		"client_id":   g.guest.publishable,
		"secret_key":  g.guest.secretKey.Reveal(),
		"grant_id":    string(g.guest.grant),
		"demo_url":    urlOf(g.demo),
	}, "", "  ")
}

// writePrivate writes a file that appears whole, and that only its owner can read.
func writePrivate(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".perch-private-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// word writes text as one word of a shell.
func word(text string) string {
	odd := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-", r)
	}
	if strings.ContainsFunc(text, odd) {
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	return text
}
