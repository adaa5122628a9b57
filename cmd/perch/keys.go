package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

type keyVerbs struct {
	Add    keyAdd    `cmd:"" help:"Make an API key; it is shown once."`
	List   keyList   `cmd:"" help:"List the API keys of a client application."`
	Change keyChange `cmd:"" help:"Change an API key's name, its end, or what it is for."`
	Rotate keyRotate `cmd:"" help:"Make a key in place of another, which goes on for a while."`
	Revoke keyRevoke `cmd:"" help:"End an API key."`
}

// apiKey is an API key as the REST API shows it.
type apiKey struct {
	ID         string     `json:"id"`
	AppID      string     `json:"app_id"`
	Kind       string     `json:"kind"`
	Name       string     `json:"name"`
	Hint       string     `json:"hint"`
	Grants     words      `json:"grants"`
	Actions    words      `json:"actions"`
	Addresses  words      `json:"addresses"`
	AppOnly    bool       `json:"app_only"`
	Batch      bool       `json:"batch"`
	CreatedAt  *time.Time `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
	Key        string     `json:"key"` // only when it was made
}

func (k apiKey) state(now time.Time) string {
	switch {
	case k.RevokedAt != nil && !k.RevokedAt.IsZero():
		return "revoked"
	case k.ExpiresAt != nil && !k.ExpiresAt.IsZero() && !now.Before(*k.ExpiresAt):
		return "expired"
	}
	return "good"
}

// does says whom the key acts for; what else narrows it follows.
func (k apiKey) does() string {
	if k.Kind == "publishable" {
		return "sign-ins"
	}
	say := []string{"any grant"}
	if len(k.Grants) > 0 {
		say = []string{k.Grants.String()}
	}
	if k.AppOnly {
		say = append(say, "app-only")
	}
	if k.Batch {
		say = append(say, "in batches")
	}
	if len(k.Actions) > 0 {
		say = append(say, "to "+k.Actions.String())
	}
	if len(k.Addresses) > 0 {
		say = append(say, "from "+k.Addresses.String())
	}
	return strings.Join(say, ", ")
}

// showKey shows a key, and the key itself if it has just been made.
func (r remote) showKey(p *program, raw json.RawMessage) error {
	if r.JSON {
		return asJSON(p.out, raw)
	}
	made, err := each[apiKey]([]json.RawMessage{raw})
	if err != nil {
		return err
	}
	k := made[0]
	rows := [][]string{
		{"ID", k.ID}, {"Name", k.Name}, {"Kind", k.Kind}, {"Acts for", k.does()}, {"State", k.state(time.Now())},
		{"Expires", when(k.ExpiresAt)},
	}
	if k.Key == "" {
		fields(p.out, rows)
		return nil
	}
	fields(p.out, append(rows, []string{"Key", k.Key}))
	p.note("Keep the key now: it cannot be shown again.\n")
	return nil
}

type keyAdd struct {
	remote
	App       string        `required:"" placeholder:"ID" help:"The client application."`
	Kind      string        `default:"secret" enum:"secret,publishable" help:"secret, for servers, or publishable, for pages."`
	Name      string        `placeholder:"NAME" help:"What it is for, for people."`
	Grants    []string      `name:"grant" placeholder:"ID" help:"A grant it may act for, and no other. With one alone, any X client works with the key alone. May be given again."`
	Actions   []string      `name:"action" placeholder:"ACTION" help:"What it may do, within what its application may: read, post, engage, messages, tag:NAME or X's operation IDs. May be given again."`
	Addresses []string      `name:"address" placeholder:"ADDRESS" help:"Where it may be used from, as 192.0.2.7 or 192.0.2.0/24. May be given again."`
	AppOnly   bool          `help:"It may perform app-only actions, with the X App's own bearer."`
	Batch     bool          `help:"Nobody waits for its calls: where there is too little for all, those of other keys go first."`
	Expires   time.Duration `placeholder:"TIME" help:"How long it is good, as 720h; without it, until it is revoked."`
}

// Run makes a key.
func (v keyAdd) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	in := map[string]any{"kind": v.Kind}
	if v.Name != "" {
		in["name"] = v.Name
	}
	for name, list := range map[string][]string{"grants": v.Grants, "actions": v.Actions, "addresses": v.Addresses} {
		if list = some(list); len(list) > 0 {
			in[name] = list
		}
	}
	for name, is := range map[string]bool{"app_only": v.AppOnly, "batch": v.Batch} {
		if is {
			in[name] = true
		}
	}
	if v.Expires != 0 {
		in["expires_at"] = after(v.Expires)
	}
	var raw json.RawMessage
	if err := o.call(ctx, http.MethodPost, appPath(v.App)+"/keys", in, &raw); err != nil {
		return err
	}
	return v.showKey(p, raw)
}

// after is the time so long from now, as the REST API takes it.
func after(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }

type keyList struct {
	remote
	App string `required:"" placeholder:"ID" help:"The client application."`
}

// Run lists keys.
func (v keyList) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	items, err := o.list(ctx, appPath(v.App)+"/keys", url.Values{})
	if err != nil {
		return err
	}
	if v.JSON {
		return asJSON(p.out, items)
	}
	keys, err := each[apiKey](items)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, k := range keys {
		rows = append(rows, []string{
			k.ID, k.Name, k.Kind, k.Hint, k.does(), k.state(time.Now()), when(k.CreatedAt), when(k.ExpiresAt),
			when(k.LastUsedAt),
		})
	}
	p.list("ID\tNAME\tKIND\tKEY\tACTS FOR\tSTATE\tCREATED\tEXPIRES\tLAST USED", rows,
		"This client application has no keys; perch keys add --app "+v.App+" makes one.")
	return nil
}

const keysPath = "/admin/v1/keys/"

type keyChange struct {
	remote
	ID        string   `arg:"" help:"The key's ID, not the key."`
	Name      *string  `placeholder:"NAME" help:"What it is for, for people; an empty one for none."`
	Grants    []string `name:"grant" placeholder:"ID" help:"The grants it may act for, in place of those it may; an empty one for any."`
	Actions   []string `name:"action" placeholder:"ACTION" help:"What it may do, in place of what it may; an empty one for all that its application may."`
	Addresses []string `name:"address" placeholder:"ADDRESS" help:"Where it may be used from, in place of where it may; an empty one for anywhere."`
	Batch     *bool    `negatable:"" help:"Whether nobody waits for its calls, so that those of other keys go first."`
	Expires   string   `placeholder:"TIME" help:"How long it is good from now, as 720h, or never."`
}

// Run changes what was given and nothing else.
func (v keyChange) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	in := map[string]any{}
	if v.Name != nil {
		in["name"] = *v.Name
	}
	for name, list := range map[string][]string{"grants": v.Grants, "actions": v.Actions, "addresses": v.Addresses} {
		if list != nil {
			in[name] = some(list)
		}
	}
	if v.Batch != nil {
		in["batch"] = *v.Batch
	}
	switch d, err := time.ParseDuration(v.Expires); {
	case v.Expires == "never":
		in["expires_at"] = nil
	case v.Expires != "" && err != nil:
		return misuse("--expires is \"" + v.Expires + "\", which is no length of time; write it as 90m or 720h, or never")
	case v.Expires != "":
		in["expires_at"] = after(d)
	}
	if len(in) == 0 {
		return misuse("say what to change: --name, --grant, --action, --address, --batch or --expires")
	}
	var raw json.RawMessage
	if err := o.call(ctx, http.MethodPatch, keysPath+url.PathEscape(v.ID), in, &raw); err != nil {
		return err
	}
	return v.showKey(p, raw)
}

type keyRotate struct {
	remote
	ID      string        `arg:"" help:"The key's ID, not the key."`
	Overlap time.Duration `default:"24h" placeholder:"TIME" help:"How long the old key goes on, at most 720h; 0s ends it at once."`
}

// Run makes the key that follows another.
func (v keyRotate) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	in := map[string]any{"overlap": v.Overlap.String()}
	var raw json.RawMessage
	if err := o.call(ctx, http.MethodPost, keysPath+url.PathEscape(v.ID)+"/rotate", in, &raw); err != nil {
		return err
	}
	return v.showKey(p, raw)
}

type keyRevoke struct {
	remote
	ID string `arg:"" help:"The key's ID, not the key."`
}

// Run ends a key.
func (v keyRevoke) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	if err := o.call(ctx, http.MethodDelete, keysPath+url.PathEscape(v.ID), nil, nil); err != nil {
		return err
	}
	return v.done(p, "revoked", v.ID)
}

// done says what was done to what.
func (r remote) done(p *program, what, id string) error {
	if r.JSON {
		return asJSON(p.out, map[string]string{what: id})
	}
	p.say("%s %s\n", what, id)
	return nil
}
