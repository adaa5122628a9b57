package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

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

// writeCredentials writes what a script needs to use the playground. The file
// appears whole, and only its owner can read it.
func (g *playground) writeCredentials(path string) error {
	text, err := json.MarshalIndent(map[string]string{
		"base_url":    g.cfg.PublicURL,
		"admin_url":   urlOf(g.admin),
		"admin_token": g.cfg.AdminToken.Reveal(),
		"x_url":       urlOf(g.x),
		"client_id":   g.guest.publishable,
		"secret_key":  g.guest.secretKey.Reveal(),
		"grant_id":    string(g.guest.grant),
		"demo_url":    urlOf(g.demo),
	}, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".perch-credentials-*") // mode 0600
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
