package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxLine bounds a line of an import, in bytes.
const maxLine = 64 << 10

// progressEvery is after how many lines progress is told.
const progressEvery = 100

type grantImport struct {
	remote
	sealedImport
	App     string `placeholder:"ID" help:"The client application that the grants are for; needed unless they are --sealed."`
	Replace bool   `help:"Put the tokens in the place of grants that users have already, even if those are newer; with --sealed, only of those that are older."`
}

// Help shows the form of a line.
func (grantImport) Help() string {
	return `Standard input has one JSON object a line, for instance X's own token reply:

    {"access_token":"...","refresh_token":"...","expires_in":7200,"scope":"tweet.read users.read offline.access"}

An access_token or a refresh_token is needed, and scope. The others are expires_in (seconds from now) or
expires_at ("2026-01-02T03:04:05Z"), user_id, username and name. Without user_id, X is asked whose the
access token is, which works for two hours after X gave it: give user_id for users who were away for longer.
token_type is ignored.

A grant that the user has already stays as it is, and its line counts as "already there", unless --replace is given.

With --sealed FILE and --key FILE it takes what perch grants export wrote into the store that PERCH_STORE names, which
no Perch should be serving meanwhile. All of the file is checked before anything is written, and each grant is read
back. It may be run again: it goes on where it stopped.`
}

// imported is one line of an import.
type imported struct {
	AppID        string          `json:"app_id"`
	UserID       string          `json:"user_id,omitempty"`
	Username     string          `json:"username,omitempty"`
	Name         string          `json:"name,omitempty"`
	AccessToken  string          `json:"access_token,omitempty"`
	RefreshToken string          `json:"refresh_token,omitempty"`
	Scope        string          `json:"scope,omitempty"`
	TokenType    json.RawMessage `json:"token_type,omitempty"` // X always says bearer
	ExpiresIn    *int64          `json:"expires_in,omitempty"`
	ExpiresAt    *time.Time      `json:"expires_at,omitempty"`
	Replace      bool            `json:"replace,omitempty"`
}

// A tally is how an import went.
type tally struct {
	Imported int      `json:"imported"`
	There    int      `json:"already_there"`
	Failed   int      `json:"failed"`
	Reasons  []reason `json:"reasons"`
}

// A reason is why a line failed.
type reason struct {
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}

// fail counts a line that failed and says why.
func (t *tally) fail(p *program, line int, why string) {
	t.Failed++
	t.Reasons = append(t.Reasons, reason{line, why})
	p.note("line %d: %s\n", line, why)
}

// Run imports a grant for each line. A bad line does not stop the others; a
// Perch that does not answer does.
func (v grantImport) Run(ctx context.Context, p *program) error {
	switch {
	case v.Sealed != "" && v.App != "":
		return misuse("--app is for raw tokens; a sealed export knows the client applications of its grants")
	case v.Sealed != "":
		return v.run(ctx, p, v.Replace, v.JSON)
	case v.Key != "":
		return misuse("--key opens a sealed export; name it with --sealed")
	case v.App == "":
		return misuse("--app says which client application the grants are for")
	}
	o, err := v.open(p)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(p.in)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	t, number := &tally{Reasons: []reason{}}, 0
	for lines.Scan() {
		number++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		err := v.one(ctx, o, line)
		refusal, _ := errors.AsType[problem](err)
		switch {
		case err == nil:
			t.Imported++
		case refusal.is("grant-exists"):
			t.There++
		case hopeless(err):
			t.fail(p, number, err.Error())
			p.note("Stopped before line %d; %s.\n", number, v.goOn())
			return v.report(p, t)
		default:
			t.fail(p, number, err.Error())
		}
		if (t.Imported+t.There+t.Failed)%progressEvery == 0 {
			p.note("%s so far\n", t)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		t.fail(p, number+1, fmt.Sprintf("cannot be read: it is longer than %d bytes", maxLine))
	case err != nil:
		t.fail(p, number+1, "cannot be read: "+err.Error())
	}
	return v.report(p, t)
}

// goOn says what to do with the lines that were not reached.
func (v grantImport) goOn() string {
	if v.Replace {
		return "go on with this line: with --replace, those before it would take the place of newer tokens"
	}
	return "import the lines again later: grants that are there by then stay as they are"
}

// hopeless reports whether the next line would fare no better.
func hopeless(err error) bool {
	if errors.Is(err, errNoAnswer) {
		return true
	}
	refusal, ok := errors.AsType[problem](err)
	return ok && (refusal.Status == http.StatusUnauthorized || refusal.Status == http.StatusForbidden)
}

func (v grantImport) one(ctx context.Context, o *operator, line []byte) error {
	in, err := readImport(line)
	if err != nil {
		return err
	}
	in.AppID, in.Replace, in.TokenType = v.App, v.Replace, nil
	err = o.call(ctx, http.MethodPost, grantsPath+"/import", in, nil)
	refusal, ok := errors.AsType[problem](err)
	if !ok {
		return err
	}
	// Perch repeats no tokens; this makes sure whatever answers in its place.
	for _, token := range []string{in.AccessToken, in.RefreshToken} {
		if len(token) >= 8 {
			refusal.Detail = strings.ReplaceAll(refusal.Detail, token, "[secret]")
			refusal.Title = strings.ReplaceAll(refusal.Title, token, "[secret]")
		}
	}
	return refusal
}

// readImport takes a line apart. Its errors never quote the line.
func readImport(line []byte) (imported, error) {
	var in imported
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&in)
	wrong, isWrong := errors.AsType[*json.UnmarshalTypeError](err)
	_, isTime := errors.AsType[*time.ParseError](err)
	switch {
	case isWrong && wrong.Field != "":
		return in, fmt.Errorf("%s must be %s", wrong.Field, writtenAs(wrong.Field))
	case isTime, err != nil && strings.HasPrefix(err.Error(), "Time.UnmarshalJSON"):
		return in, errors.New("expires_at must be " + writtenAs("expires_at"))
	case err != nil && strings.HasPrefix(err.Error(), unknownMember):
		return in, fmt.Errorf("has the member %s, which no import has; members are user_id, username, name, access_token, "+
			"refresh_token, scope, expires_in, expires_at and token_type", printable(err.Error()[len(unknownMember):]))
	case err != nil:
		return in, errors.New("is not a JSON object on one line")
	case in.Replace:
		return in, errors.New("says replace; that is said once, with --replace")
	case in.AppID != "":
		return in, errors.New("names an app_id; the client application is given once, with --app")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return in, errors.New("holds more than one JSON object; write one a line")
	}
	return in, nil
}

// unknownMember is how the decoder refuses a member; its name follows.
const unknownMember = "json: unknown field "

// writtenAs says how a member is written.
func writtenAs(member string) string {
	switch member {
	case "expires_in":
		return "a whole number of seconds, as 7200"
	case "expires_at":
		return `a time in quotes, as "2026-01-02T03:04:05Z"`
	}
	return "text in quotes"
}

func (t *tally) String() string {
	return fmt.Sprintf("%d imported, %d already there, %d failed", t.Imported, t.There, t.Failed)
}

func (v grantImport) report(p *program, t *tally) error {
	if v.JSON {
		if err := asJSON(p.out, t); err != nil {
			return err
		}
	} else {
		p.say("%s\n", t)
	}
	if t.There > 0 {
		p.note("Grants that were there stay as they are; --replace puts the imported tokens in their place.\n")
	}
	if t.Failed > 0 {
		return errReported
	}
	return nil
}

// trimLine takes the line break off a line.
func trimLine(line string) string {
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
}
