package sqlstore_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/ports/conformance"
)

// d1 is that kind of database.
func d1() database { return databases()[2] }

// A trigger that writes elsewhere does not make one swap look like two, or one
// that came too late like one that came in time.
func TestTriggersOnD1(t *testing.T) {
	conformance.Verified(t, "d1")
	s := d1().fresh(t)
	const trigger = `CREATE TABLE seen (id TEXT); CREATE TRIGGER see AFTER UPDATE ON grants BEGIN
		INSERT INTO seen VALUES (new.id); INSERT INTO seen VALUES (new.id); END`
	if _, err := s.DB().Exec(trigger); err != nil {
		t.Fatal(err)
	}
	old, err := s.Vault().Create(t.Context(), grant("g"))
	if err != nil {
		t.Fatal(err)
	}
	next := old
	next.Access = "rotated"
	if _, err := s.Vault().Swap(t.Context(), old, next); err != nil {
		t.Errorf("a swap: %v", err)
	}
	if _, err := s.Vault().Swap(t.Context(), old, next); !errors.Is(err, fault.Conflict) {
		t.Errorf("a swap that comes too late: %v", err)
	}
}

func TestWhenD1SaysLater(t *testing.T) {
	const row = `{"success":true,"errors":[],"result":[{"success":true,"results":{"columns":["one"],"rows":[[1]]}}]}`
	var later atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if later.Load() {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		_, _ = w.Write([]byte(row))
	}))
	defer server.Close()
	s, err := openD1(t.Context(), "d1:"+strings.Join([]string{server.URL, "account", "database", "token"}, " "))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	later.Store(true)
	_, get := s.Vault().Get(t.Context(), "g")
	_, create := s.Vault().Create(t.Context(), grant("g"))
	_, swap := s.Vault().Swap(t.Context(), oauth.Grant{ID: "g"}, grant("g"))
	for name, err := range map[string]error{"Get": get, "Create": create, "Swap": swap} {
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Kind != fault.Unavailable || f.Wait != 7*time.Second || strings.Contains(f.Say, "429") {
			t.Errorf("%s: got %v, want unavailable for 7s", name, err)
		}
	}
	if _, err := openD1(t.Context(), "d1:"+strings.Join([]string{server.URL, "account", "database", "token"}, " ")); err == nil {
		t.Error("a database that does not answer was opened")
	}
}
