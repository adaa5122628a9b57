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
)

// maxLine bounds a line of an import, in bytes.
const maxLine = 64 << 10

// progressEvery is after how many lines progress is told.
const progressEvery = 100

type grantImport struct {
	remote
	App string `required:"" placeholder:"ID" help:"The client application that the grants are for."`
}

// imported is one line of an import. Expires stays as it was written: Perch
// reads it.
type imported struct {
	AppID        string          `json:"app_id"`
	UserID       string          `json:"user_id,omitempty"`
	Username     string          `json:"username,omitempty"`
	Name         string          `json:"name,omitempty"`
	AccessToken  string          `json:"access_token,omitempty"`
	RefreshToken string          `json:"refresh_token,omitempty"`
	Scope        string          `json:"scope,omitempty"`
	ExpiresAt    json.RawMessage `json:"expires_at,omitempty"`
}

// Run imports a grant for each line. A bad line does not stop the others; a
// Perch that does not answer does.
func (v grantImport) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(p.in)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	done, failed, number := 0, 0, 0
	for lines.Scan() {
		number++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		err := v.one(ctx, o, line)
		switch {
		case err == nil:
			done++
		case hopeless(err):
			p.note("line %d: %v\n", number, err)
			p.note("Stopped before line %d; importing a line again does no harm.\n", number)
			return v.count(p, done, failed+1)
		default:
			failed++
			p.note("line %d: %v\n", number, err)
		}
		if (done+failed)%progressEvery == 0 {
			p.note("%d imported, %d failed so far\n", done, failed)
		}
	}
	if err := lines.Err(); err != nil {
		p.note("line %d: cannot be read (%v); a line has at most %d bytes\n", number+1, err, maxLine)
		failed++
	}
	return v.count(p, done, failed)
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
	in.AppID = v.App
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
	wrongType, isWrongType := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case isWrongType && wrongType.Field != "":
		return in, fmt.Errorf("%s has the wrong type; write it as text", wrongType.Field)
	case err != nil && strings.Contains(err.Error(), "unknown field"):
		return in, errors.New("has a member that no import has; the members are user_id, username, name, " +
			"access_token, refresh_token, scope and expires_at")
	case err != nil:
		return in, errors.New("is not a JSON object on one line")
	case in.AppID != "":
		return in, errors.New("names an app_id; the client application is given once, with --app")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return in, errors.New("holds more than one JSON object; write one a line")
	}
	return in, nil
}

func (v grantImport) count(p *program, done, failed int) error {
	if v.JSON {
		if err := asJSON(p.out, map[string]int{"imported": done, "failed": failed}); err != nil {
			return err
		}
	} else {
		p.say("%d imported, %d failed\n", done, failed)
	}
	if failed > 0 {
		return errReported
	}
	return nil
}

// trimLine takes the line break off a line.
func trimLine(line string) string {
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
}
