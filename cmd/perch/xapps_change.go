package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"perch/cmd/internal/config"
	"perch/domain/secret"
)

type xappChange struct {
	remote
	ID               string  `arg:"" help:"The X App."`
	Name             string  `placeholder:"NAME" help:"What people call it."`
	ClientSecretFile *string `placeholder:"FILE" help:"A file that holds its new client secret, or - to read it as a line; an empty one for none, as a public client has."`
	BearerFile       *string `placeholder:"FILE" help:"A file that holds its new app-only bearer, or -; an empty one for none."`
	APIKey           *string `name:"api-key" placeholder:"KEY" help:"Its new API key (consumer key), together with its secret; an empty one for neither."`
	APISecretFile    *string `name:"api-secret-file" placeholder:"FILE" help:"A file that holds the new API key's secret, or -."`
}

// Run changes what was given and nothing else.
func (v xappChange) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	in := map[string]string{}
	if v.Name != "" {
		in["name"] = v.Name
	}
	if v.APIKey != nil {
		in["api_key"] = *v.APIKey
		if *v.APIKey == "" && v.APISecretFile == nil {
			v.APISecretFile = v.APIKey // both go
		}
	}
	if (v.APIKey == nil) != (v.APISecretFile == nil) {
		return misuse("an API key and its secret change together; give --api-key and --api-secret-file")
	}
	if err := p.addSecrets(in, []secretFlag{
		{"client_secret", "client secret", v.ClientSecretFile},
		{"bearer", "app-only bearer", v.BearerFile},
		{"api_secret", "secret of the API key", v.APISecretFile},
	}); err != nil {
		return err
	}
	if len(in) == 0 {
		return misuse("say what to change: --name, --client-secret-file, --bearer-file, or --api-key and --api-secret-file")
	}
	var raw json.RawMessage
	if err := o.call(ctx, http.MethodPatch, xappsPath+"/"+url.PathEscape(v.ID), in, &raw); err != nil {
		return err
	}
	return v.showXApps(p, raw)
}

// A secretFlag names a file that holds a secret: nil is not given, an empty
// name is no secret.
type secretFlag struct {
	field, what string
	file        *string
}

// full is the name of a file, nil if it is empty.
func full(file string) *string {
	if file == "" {
		return nil
	}
	return &file
}

// addSecrets reads the secrets that were given into a body.
func (p *program) addSecrets(in map[string]string, flags []secretFlag) error {
	lines := bufio.NewReader(p.in)
	for _, f := range flags {
		if f.file == nil {
			continue
		}
		if *f.file == "" {
			in[f.field] = ""
			continue
		}
		text, err := p.secretFrom(*f.file, f.what, lines)
		if err != nil {
			return err
		}
		in[f.field] = text.Reveal()
	}
	return nil
}

// secretFrom reads a secret from a file, or as a line where the file is "-".
func (p *program) secretFrom(file, what string, lines *bufio.Reader) (secret.Text, error) {
	if file != "-" {
		text, mistakes := config.SecretFile("the flag for the "+what, file)
		if len(mistakes) > 0 {
			return secret.Text{}, mistakes
		}
		return text, nil
	}
	if in, ok := p.in.(*os.File); ok {
		if info, err := in.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			p.note("The %s (it will be seen): ", what)
		}
	}
	line, err := lines.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return secret.Text{}, fmt.Errorf("the %s cannot be read: %w", what, err)
	}
	if line = trimLine(line); line == "" {
		return secret.Text{}, misuse("no " + what + " was given; write it as a line")
	}
	return secret.New(line), nil
}
