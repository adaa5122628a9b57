package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

type operatorVerbs struct {
	Add    operatorAdd    `cmd:"" help:"Add an operator; the token is shown once."`
	List   operatorList   `cmd:"" help:"List operators."`
	Change operatorChange `cmd:"" help:"Change an operator's name, role or end."`
	Rotate operatorRotate `cmd:"" help:"Make another token for an operator; it is shown once."`
	Revoke operatorRevoke `cmd:"" help:"End an operator's token."`
	Whoami operatorWhoami `cmd:"" help:"Say who the token belongs to, and what it may do."`
}

// person is an operator as the REST API shows one.
type person struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Role       string     `json:"role"`
	Hint       string     `json:"hint"`
	CreatedAt  *time.Time `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
	Token      string     `json:"token"` // only when it was made
}

func (o person) state(now time.Time) string {
	return apiKey{RevokedAt: o.RevokedAt, ExpiresAt: o.ExpiresAt}.state(now)
}

const operatorsPath = "/admin/v1/operators"

func operatorPath(id string) string { return operatorsPath + "/" + url.PathEscape(id) }

type operatorAdd struct {
	remote
	Name    string        `arg:"" help:"What people call the operator: a person, or a program."`
	Role    string        `required:"" enum:"viewer,operator,owner" placeholder:"ROLE" help:"viewer looks; operator also looks after client applications, keys and grants; owner also after X Apps and operators."`
	Expires time.Duration `placeholder:"TIME" help:"How long the token is good, as 720h; without it, until it is revoked."`
}

// Run adds an operator.
func (v operatorAdd) Run(ctx context.Context, p *program) error {
	in := map[string]string{"name": v.Name, "role": v.Role}
	if v.Expires != 0 {
		in["expires_at"] = hence(v.Expires)
	}
	return v.tell(ctx, p, http.MethodPost, operatorsPath, in)
}

// hence is a time from now as the REST API takes it.
func hence(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }

// tell asks for something that answers with an operator, and shows it.
func (r remote) tell(ctx context.Context, p *program, method, path string, in any) error {
	o, err := r.open(p)
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := o.call(ctx, method, path, in, &raw); err != nil {
		return err
	}
	if r.JSON {
		return asJSON(p.out, raw)
	}
	people, err := each[person]([]json.RawMessage{raw})
	if err != nil {
		return err
	}
	one := people[0]
	rows := [][]string{
		{"ID", one.ID}, {"Name", one.Name}, {"Role", one.Role}, {"State", one.state(time.Now())}, {"Token", one.Hint},
		{"Created", when(one.CreatedAt)}, {"Expires", when(one.ExpiresAt)}, {"Last used", when(one.LastUsedAt)},
	}
	if one.Token != "" {
		rows = [][]string{
			{"ID", one.ID}, {"Name", one.Name}, {"Role", one.Role}, {"Expires", when(one.ExpiresAt)}, {"Token", one.Token},
		}
		p.note("Keep the token now: it cannot be shown again.\n")
	}
	fields(p.out, rows)
	return nil
}

type operatorList struct{ remote }

// Run lists operators.
func (v operatorList) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	items, err := o.list(ctx, operatorsPath, url.Values{})
	if err != nil {
		return err
	}
	if v.JSON {
		return asJSON(p.out, items)
	}
	people, err := each[person](items)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, o := range people {
		rows = append(rows, []string{
			o.ID, o.Name, o.Role, o.Hint, o.state(time.Now()), when(o.CreatedAt), when(o.ExpiresAt), when(o.LastUsedAt),
		})
	}
	p.list("ID\tNAME\tROLE\tTOKEN\tSTATE\tCREATED\tEXPIRES\tLAST USED", rows,
		"There are no operators but the founding token; perch operators add NAME --role ROLE makes one.")
	return nil
}

type operatorChange struct {
	remote
	ID      string `arg:"" help:"The operator."`
	Name    string `placeholder:"NAME" help:"What people call the operator."`
	Role    string `enum:",viewer,operator,owner" default:"" placeholder:"ROLE" help:"viewer, operator or owner."`
	Expires string `placeholder:"TIME" help:"How long the token is good from now on, as 720h, or never for no end."`
}

// Run changes what was given and nothing else.
func (v operatorChange) Run(ctx context.Context, p *program) error {
	in := map[string]any{}
	for name, value := range map[string]string{"name": v.Name, "role": v.Role} {
		if value != "" {
			in[name] = value
		}
	}
	switch d, err := time.ParseDuration(v.Expires); {
	case v.Expires == "never":
		in["expires_at"] = nil
	case v.Expires != "" && err != nil:
		return misuse(`--expires is "` + v.Expires + `", which is no length of time; write it as 90m or 720h, or as never`)
	case v.Expires != "":
		in["expires_at"] = hence(d)
	}
	if len(in) == 0 {
		return misuse("say what to change: --name, --role or --expires")
	}
	return v.tell(ctx, p, http.MethodPatch, operatorPath(v.ID), in)
}

type operatorRotate struct {
	remote
	ID      string        `arg:"" help:"The operator."`
	Overlap time.Duration `default:"1h" placeholder:"TIME" help:"How long the old token stays good, up to 720h; 0s if others may have it."`
}

// Run makes another token. The operator has another ID from then on.
func (v operatorRotate) Run(ctx context.Context, p *program) error {
	in := map[string]int64{"overlap_seconds": int64(v.Overlap / time.Second)}
	return v.tell(ctx, p, http.MethodPost, operatorPath(v.ID)+"/rotate", in)
}

type operatorRevoke struct {
	remote
	ID string `arg:"" help:"The operator's ID, not the token."`
}

// Run ends a token.
func (v operatorRevoke) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	if err := o.call(ctx, http.MethodDelete, operatorPath(v.ID), nil, nil); err != nil {
		return err
	}
	return v.done(p, "revoked", v.ID)
}

type operatorWhoami struct{ remote }

// Run says who the token belongs to.
func (v operatorWhoami) Run(ctx context.Context, p *program) error {
	return v.tell(ctx, p, http.MethodGet, operatorsPath+"/me", nil)
}
