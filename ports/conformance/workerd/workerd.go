// Package workerd gives tests Cloudflare's own engine on this machine: D1 and KV
// behind the store Worker, one for each test binary. It needs what npm puts into
// adapters/edge/store, and no network.
package workerd

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"perch/ports/conformance"
)

// Backend is what the engine is called among the backends.
const Backend = "workerd"

// shared is the engine of this test binary. Its watchdog outlives the tests.
var shared = sync.OnceValues(guarded) //nolint:gochecknoglobals // one engine for all tests of a binary

func guarded() (*server, error) { return launch(rand.Text() + rand.Text()) }

// A Place is where something empty is kept: a D1 database or a KV namespace.
type Place struct {
	URL     string // of the API, as https://api.cloudflare.com/client/v4
	Account string
	ID      string // of the database or namespace
	Token   string
}

// D1 returns an empty database. It is emptied when the test ends, and then given
// to others.
func D1(t testing.TB) Place {
	t.Helper()
	s := engine(t)
	return s.lend(t, s.databases, s.dropAll)
}

// KV returns an empty namespace. It is emptied when the test ends, and then given
// to others.
func KV(t testing.TB) Place {
	t.Helper()
	s := engine(t)
	return s.lend(t, s.namespaces, s.deleteAll)
}

func engine(t testing.TB) *server {
	t.Helper()
	s, err := shared()
	if err != nil {
		conformance.Absent(t, Backend, err.Error())
	}
	return s
}

// lend takes an ID for the test. One that cannot be emptied is not given back.
func (s *server) lend(t testing.TB, ids chan string, empty func(Place) error) Place {
	t.Helper()
	select {
	case id := <-ids:
		p := Place{URL: s.url, Account: s.account, ID: id, Token: s.token}
		t.Cleanup(func() {
			if err := empty(p); err != nil {
				t.Errorf("emptying what the test left in workerd: %v", err)
				return
			}
			ids <- id
		})
		return p
	case <-time.After(patience):
		t.Fatalf("all %d places of workerd are in use", places)
		return Place{}
	}
}

// dropAll removes all tables. Those of the engine itself cannot be removed.
func (s *server) dropAll(p Place) error {
	const tables = `SELECT name FROM sqlite_master WHERE type = 'table'
		AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name NOT LIKE '\_cf\_%' ESCAPE '\'`
	type statement struct {
		SQL string `json:"sql"`
	}
	var found []struct{ Results []struct{ Name string } }
	path := "/d1/database/" + p.ID + "/query"
	if err := s.ask(http.MethodPost, path, statement{tables}, &found); err != nil {
		return err
	}
	var drops []statement
	for _, table := range found[0].Results {
		drops = append(drops, statement{`DROP TABLE "` + strings.ReplaceAll(table.Name, `"`, `""`) + `"`})
	}
	if len(drops) == 0 {
		return nil
	}
	return s.ask(http.MethodPost, path, map[string]any{"batch": drops}, nil)
}

func (s *server) deleteAll(p Place) error {
	path := "/storage/kv/namespaces/" + p.ID
	for {
		var found []struct{ Name string }
		if err := s.ask(http.MethodGet, path+"/keys", nil, &found); err != nil || len(found) == 0 {
			return err
		}
		var names []string
		for _, key := range found {
			names = append(names, key.Name)
		}
		if err := s.ask(http.MethodPost, path+"/bulk/delete", names, nil); err != nil {
			return err
		}
	}
}

// ask is one call of the API.
func (s *server) ask(method, path string, body, into any) error {
	sent, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequest(method, s.url+"/accounts/"+s.account+path, nil)
	if err != nil {
		return err
	}
	if body != nil {
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	client := http.Client{Timeout: patience}
	reply, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = reply.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(reply.Body, 8<<20))
	if err != nil {
		return err
	}
	var envelope struct{ Result json.RawMessage }
	switch err := json.Unmarshal(text, &envelope); {
	case err != nil || reply.StatusCode != http.StatusOK:
		return errors.Join(fmt.Errorf("%s %s: %s: %s", method, path, reply.Status, text), err)
	case into == nil:
		return nil
	}
	return json.Unmarshal(envelope.Result, into)
}
