package xsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// control is the box's own door: /_sim/. It is no part of X.
func (s *Sim) control(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	knobs := map[string]func(http.ResponseWriter, *http.Request){
		"GET ":          s.help,
		"GET clock":     s.clockKnob,
		"POST clock":    s.setClock,
		"GET ledger":    s.ledgerKnob,
		"GET bill":      s.billKnob,
		"GET mischief":  s.listMischief,
		"POST mischief": s.postMischief, "DELETE mischief": s.deleteMischief,
		"GET settings": s.settingsKnob, "POST settings": s.setSettings,
		"GET users": s.usersKnob, "POST users": s.postUsers,
		"GET apps": s.appsKnob, "POST apps": s.postApps,
	}
	name := strings.Trim(strings.TrimPrefix(r.URL.Path, "/_sim"), "/")
	knob, ok := knobs[r.Method+" "+name]
	if !ok {
		refuse(w, http.StatusNotFound, fmt.Errorf("the box has no %s %s; GET /_sim/ lists what it has", r.Method, r.URL.Path))
		return
	}
	knob(w, r)
}

func show(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the client may be gone
}

func refuse(w http.ResponseWriter, status int, err error) {
	show(w, status, object{"error": err.Error()})
}

// take reads a small JSON body and refuses fields nobody knows.
func take(r *http.Request, v any) error {
	dec := json.NewDecoder(io.LimitReader(r.Body, maxJSON))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("the body cannot be read: %w", err)
	}
	return nil
}

func (s *Sim) help(w http.ResponseWriter, _ *http.Request) {
	show(w, http.StatusOK, object{
		"what": "X in a box: a simulator of X API v2. No real account is involved.",
		"x": []string{
			"GET /i/oauth2/authorize", "POST /2/oauth2/token", "POST /2/oauth2/revoke", "POST /oauth2/token",
			"POST /oauth2/invalidate_token", "every action of X API v2 below /2/",
		},
		"box": object{
			"GET /_sim/clock":       "the time in the box",
			"POST /_sim/clock":      `{"advance":"2h"} or {"now":"2026-01-02T15:04:05Z"}`,
			"GET /_sim/ledger":      "what really happened, as JSON lines; ?since=N&type=prefix",
			"GET /_sim/bill":        "what X would bill, in millionths of a US dollar",
			"GET /_sim/mischief":    "the rules",
			"POST /_sim/mischief":   `{"match":"createPosts","kind":"lost","times":1}`,
			"DELETE /_sim/mischief": "remove every rule, or one by ?id=",
			"GET /_sim/settings":    "rate windows on or off, keep-alives, media processing",
			"POST /_sim/settings":   `{"windows":false,"keep_alive":"20s","processing":"3s"}`,
			"GET /_sim/users":       "the people", "POST /_sim/users": `{"id":"42","username":"zoe","name":"Zoe"}`,
			"GET /_sim/apps": "the developer apps", "POST /_sim/apps": `{"client_id":"mine","client_secret":"…"}`,
		},
		"kinds_of_mischief": Kinds(),
	})
}

func (s *Sim) clockKnob(w http.ResponseWriter, _ *http.Request) {
	show(w, http.StatusOK, object{"now": s.clock().Format(time.RFC3339Nano)})
}

func (s *Sim) setClock(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Now     *time.Time `json:"now"`
		Advance string     `json:"advance"`
	}
	if err := take(r, &in); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	switch {
	case in.Now != nil && in.Advance == "":
		s.Advance(in.Now.Sub(s.clock()))
	case in.Now == nil && in.Advance != "":
		d, err := time.ParseDuration(in.Advance)
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		s.Advance(d)
	default:
		refuse(w, http.StatusBadRequest, errors.New("give either now or advance"))
		return
	}
	s.clockKnob(w, r)
}

// ledgerKnob writes the ledger as JSON lines, from entry number since on.
func (s *Sim) ledgerKnob(w http.ResponseWriter, r *http.Request) {
	entries := s.Ledger()
	since := 0
	if v := r.URL.Query().Get("since"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			refuse(w, http.StatusBadRequest, errors.New("since is the number of entries you have already seen"))
			return
		}
		since = min(n, len(entries))
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Sim-Ledger-Length", strconv.Itoa(len(entries)))
	enc := json.NewEncoder(w)
	for _, e := range entries[since:] {
		if !strings.HasPrefix(e.Type, r.URL.Query().Get("type")) {
			continue
		}
		if enc.Encode(e) != nil {
			return
		}
	}
}

func (s *Sim) usersKnob(w http.ResponseWriter, _ *http.Request) {
	show(w, http.StatusOK, object{"users": s.Users()})
}

func (s *Sim) postUsers(w http.ResponseWriter, r *http.Request) {
	var u User
	if err := take(r, &u); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if u.Username == "" {
		refuse(w, http.StatusBadRequest, errors.New("a user needs a username"))
		return
	}
	s.mu.Lock()
	if u.ID == "" {
		u.ID = s.newID()
	}
	if u.Name == "" {
		u.Name = u.Username
	}
	s.people.add(u, s.now())
	s.note("user.added", "", u.ID, "", details{"username": u.Username})
	s.mu.Unlock()
	show(w, http.StatusCreated, u)
}

// appsKnob lists the apps without their secrets.
func (s *Sim) appsKnob(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	apps := []App{}
	for _, a := range s.oauth.apps {
		shown := *a
		shown.ClientSecret, shown.APISecret, shown.Bearer = "", "", ""
		apps = append(apps, shown)
	}
	s.mu.Unlock()
	show(w, http.StatusOK, object{"apps": apps})
}

func (s *Sim) postApps(w http.ResponseWriter, r *http.Request) {
	var a App
	if err := take(r, &a); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if a.ClientID == "" {
		refuse(w, http.StatusBadRequest, errors.New("an app needs a client_id"))
		return
	}
	s.mu.Lock()
	s.oauth.put(a)
	s.note("app.changed", a.ClientID, "", "", nil)
	s.mu.Unlock()
	show(w, http.StatusCreated, object{"client_id": a.ClientID})
}
