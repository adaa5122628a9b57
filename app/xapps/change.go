package xapps

import (
	"context"
	"errors"
	"strings"
	"unicode"

	"perch/domain/fault"
	"perch/domain/secret"
	"perch/domain/xapp"
	"perch/ports"
)

// A Change is what to change of an X App. What is nil stays; what is empty is
// taken away. An API key and its secret change together.
type Change struct {
	Name         *string
	ClientSecret *secret.Text
	Bearer       *secret.Text
	APIKey       *string
	APISecret    *secret.Text
}

// Change changes a stored X App and returns it. Its ID and client ID never
// change: grants were given to that client ID.
func (s *Service) Change(ctx context.Context, id xapp.ID, c Change) (xapp.App, error) {
	if id == xapp.Default {
		return xapp.App{}, fault.New(fault.Conflict, "the default X App comes from the settings; "+
			"change it there and start Perch anew")
	}
	if err := c.check(); err != nil {
		return xapp.App{}, err
	}
	for {
		old, err := s.store.Get(ctx, id)
		if errors.Is(err, fault.NotFound) {
			return xapp.App{}, missing(id)
		}
		if err != nil {
			return xapp.App{}, err
		}
		next, err := s.apply(ctx, old, c)
		if err != nil {
			return xapp.App{}, err
		}
		next, err = s.store.Swap(ctx, old, next)
		if errors.Is(err, fault.NotFound) {
			return xapp.App{}, missing(id)
		}
		if !errors.Is(err, fault.Conflict) {
			return next, err
		}
	}
}

func (c Change) check() error {
	if (c.APIKey == nil) != (c.APISecret == nil) ||
		(c.APIKey != nil && (*c.APIKey == "") != c.APISecret.Empty()) {
		return halfAKeyPair()
	}
	if c.Name != nil {
		if err := checkName(*c.Name); err != nil {
			return err
		}
	}
	return checkVisible(ports.XApp{
		ClientSecret: given(c.ClientSecret), Bearer: given(c.Bearer),
		APIKey: given(c.APIKey), APISecret: given(c.APISecret),
	})
}

// given is what was given, or nothing.
func given[T any](v *T) (none T) {
	if v == nil {
		return none
	}
	return *v
}

func (s *Service) apply(ctx context.Context, x xapp.App, c Change) (xapp.App, error) {
	if c.Name != nil {
		x.Name = *c.Name
	}
	if c.APIKey != nil {
		x.APIKey = *c.APIKey
	}
	err := s.seal(ctx, x.ID, []part{
		{c.ClientSecret, xapp.SecretLabel, &x.ClientSecret},
		{c.Bearer, xapp.BearerLabel, &x.Bearer},
		{c.APISecret, xapp.APISecretLabel, &x.APISecret},
	})
	return x, err
}

// A part is a secret and the box it goes into.
type part struct {
	plain *secret.Text // nil: the box stays as it is
	kind  string
	into  *secret.Box
}

// seal fills the boxes of an X App.
func (s *Service) seal(ctx context.Context, id xapp.ID, parts []part) error {
	for _, p := range parts {
		if p.plain == nil {
			continue
		}
		if p.plain.Empty() {
			*p.into = ""
			continue
		}
		box, err := s.ring.Seal(ctx, *p.plain, secret.Label(p.kind, string(id)))
		if err != nil {
			return err
		}
		*p.into = box
	}
	return nil
}

func checkName(name string) error {
	if name == "" || len(name) > 200 {
		return fault.New(fault.Invalid, "name the X App, in at most 200 characters").With("field", "name")
	}
	if strings.ContainsFunc(name, unicode.IsControl) {
		return fault.New(fault.Invalid, "the name of an X App has no line breaks or other control characters").
			With("field", "name")
	}
	return nil
}

// checkVisible refuses what X cannot have shown: all of these travel in headers.
func checkVisible(x ports.XApp) error {
	for _, p := range []struct{ field, value string }{
		{"client_id", x.ClientID}, {"client_secret", x.ClientSecret.Reveal()}, {"bearer", x.Bearer.Reveal()},
		{"api_key", x.APIKey}, {"api_secret", x.APISecret.Reveal()},
	} {
		if strings.ContainsFunc(p.value, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fault.New(fault.Invalid, "%s holds a space, a line break or another character that X never uses there; "+
				"copy it anew", p.field).With("field", p.field)
		}
	}
	return nil
}

func halfAKeyPair() error {
	return fault.New(fault.Invalid, "an API key and its secret come together; give api_key and api_secret")
}
