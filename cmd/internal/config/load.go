package config

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"perch/domain/secret"
)

// A Source gives settings from environment variables. Unlike kong's own way it
// takes the variables as a list and goes on after a mistake, to find them all.
type Source struct {
	vars     map[string]string
	known    map[string]bool
	of       map[*kong.Value][]string // which variables give a flag
	mistakes Mistakes
}

// From returns a source of the variables, each written NAME=value.
func From(environ []string) *Source {
	s := &Source{vars: map[string]string{}, known: map[string]bool{}, of: map[*kong.Value][]string{}}
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		s.vars[name] = value
	}
	for _, part := range new(Config).secrets() {
		s.known[part.variable] = true
	}
	return s
}

// Options make kong take values from the source and from no other variables.
func (s *Source) Options() []kong.Option {
	return []kong.Option{
		kong.PostBuild(func(k *kong.Kong) error {
			return kong.Visit(k.Model.Node, func(node kong.Visitable, next kong.Next) error {
				if flag, ok := node.(*kong.Flag); ok {
					s.claim(flag)
				}
				return next(nil)
			})
		}),
		kong.ValueFormatter(s.describe),
		kong.Resolvers(s),
	}
}

// claim takes the variables of a flag over from kong.
func (s *Source) claim(flag *kong.Flag) {
	s.of[flag.Value], flag.Tag.Envs = flag.Tag.Envs, nil
	for _, name := range s.of[flag.Value] {
		s.known[name] = true
	}
}

// describe is a flag's help with its variable and its default.
func (s *Source) describe(v *kong.Value) string {
	var notes []string
	for _, name := range s.of[v] {
		notes = append(notes, "$"+name)
	}
	if v.Default != "" {
		notes = append(notes, "default "+v.Default)
	}
	if len(notes) == 0 {
		return v.Help
	}
	return v.Help + " (" + strings.Join(notes, ", ") + ")"
}

// Validate implements kong.Resolver.
func (s *Source) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver.
func (s *Source) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range s.of[flag.Value] {
		value, set := s.vars[name]
		if set && value == "" {
			value = flag.Tag.Get("blank")
		}
		if value == "" {
			continue
		}
		scratch := reflect.New(flag.Target.Type()).Elem()
		if err := flag.Parse(kong.Scan().PushTyped(value, kong.FlagValueToken), scratch); err != nil {
			s.mistakes = append(s.mistakes, Mistake{name, "is not " + wanted(flag)})
			continue
		}
		return value, nil
	}
	return nil, nil // nothing to say: the default stands
}

func wanted(flag *kong.Flag) string {
	example := flag.Default
	if flag.Target.Kind() == reflect.Bool {
		return "true or false"
	}
	if example == "" {
		return "what it should be"
	}
	return "a value like " + example
}

// Lookup returns a variable's value, "" if it is not set.
func (s *Source) Lookup(name string) string { return s.vars[name] }

// Settle completes parsed settings: it reads the secrets and fills in what
// follows from other settings. It returns every mistake there is.
func (s *Source) Settle(c *Config) Mistakes {
	mistakes := slices.Concat(s.mistakes, s.replaced())
	for _, part := range c.secrets() {
		text, m := s.Secret(part.variable, part.file)
		*part.into = text
		mistakes = append(mistakes, m...)
	}
	*c = c.Settled()
	return append(mistakes, c.Check()...)
}

// SettleStores is Settle for what has to do with stores alone.
func (s *Source) SettleStores(c *Config) Mistakes {
	text, mistakes := s.Secret(cloudflareToken, c.Cloudflare.TokenFile)
	c.Cloudflare.Token = text
	*c = c.Settled()
	return append(append(slices.Clone(s.mistakes), mistakes...), c.CheckStores()...)
}

// Secret returns the secret of a variable, or the one in the file, which the
// variable's …_FILE companion or a flag named. Both are a mistake.
func (s *Source) Secret(variable, file string) (secret.Text, Mistakes) {
	value := s.vars[variable]
	switch {
	case value != "" && file != "":
		return secret.Text{}, Mistakes{{variable, fmt.Sprintf("and %s_FILE are both given; keep one", variable)}}
	case value != "":
		return checkSecret(variable, value)
	case file != "":
		return SecretFile(variable+"_FILE", file)
	}
	return secret.Text{}, nil
}

// SecretFile returns the secret in the file that the setting names. One line
// break at its end is not part of it.
func SecretFile(setting, file string) (secret.Text, Mistakes) {
	raw, err := os.ReadFile(file) // #nosec G304 -- named by the operator
	if err != nil {
		return secret.Text{}, Mistakes{{setting, "cannot be read: " + err.Error()}}
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	if value == "" {
		return secret.Text{}, Mistakes{{
			setting, fmt.Sprintf("names %s, which is empty; put the secret in it, or name another", file),
		}}
	}
	text, mistakes := checkSecret(setting, value)
	for i := range mistakes {
		mistakes[i].Say = fmt.Sprintf("names %s, which %s", file, mistakes[i].Say)
	}
	return text, mistakes
}

func checkSecret(variable, value string) (secret.Text, Mistakes) {
	if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return secret.Text{}, Mistakes{{
			variable, "holds a space, a line break or another character that no such secret has; copy it anew",
		}}
	}
	return secret.New(value), nil
}

type secretPart struct {
	variable, file string
	into           *secret.Text
}

func (c *Config) secrets() []secretPart {
	return []secretPart{
		{"PERCH_ADMIN_TOKEN", c.AdminTokenFile, &c.AdminToken},
		{cloudflareToken, c.Cloudflare.TokenFile, &c.Cloudflare.Token},
		{"PERCH_X_CLIENT_SECRET", c.X.ClientSecretFile, &c.X.ClientSecret},
		{"PERCH_X_BEARER", c.X.BearerFile, &c.X.Bearer},
		{"PERCH_X_API_SECRET", c.X.APISecretFile, &c.X.APISecret},
	}
}

// Defaults returns the settings that hold where nothing is set, not settled yet.
func Defaults() (Config, error) {
	var c Config
	k, err := kong.New(&c, From(nil).Options()...)
	if err == nil {
		_, err = k.Parse(nil)
	}
	return c, err
}
