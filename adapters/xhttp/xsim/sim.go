// Package xsim is X in a box: the wire side of X API v2, its consent page and
// its token endpoints, with a clock that can be set, a ledger of everything
// that really happened, and mischief on demand. It shares no code with the
// gateway that is tested against it. It is no place for real data.
package xsim

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"perch/domain/xapi"
)

// Options say what is in the box. The zero value is usable.
type Options struct {
	Apps  []App            // developer apps; if empty, DefaultApp alone
	Users []User           // people of X; if empty, four built-in ones
	Log   *slog.Logger     // optional; never sees a token
	Now   func() time.Time // optional base clock; the sim's own offset comes on top
}

// A Sim is X in a box. It is an http.Handler for api.x.com and for the consent
// page of x.com on one origin, and it is safe for concurrent use.
type Sim struct {
	log    *slog.Logger
	base   func() time.Time
	routes map[string]handler

	mu       sync.Mutex
	offset   time.Duration
	settings settings
	lastID   int64
	ledger   []Entry
	trouble  troubles
	windows  map[windowKey]*window
	oauth    authority
	people   directory
	posts    archive
	lists    shelf
	dms      mailbox
	media    studio
	streams  switchboard
	cash     cashier
}

// settings are what POST /_sim/settings may change.
type settings struct {
	windows    bool          // count rate windows
	keepAlive  time.Duration // between two keep-alives of a quiet stream
	processing time.Duration // from finalize until a video is ready
}

// New returns X in a box.
func New(opts Options) *Sim {
	s := &Sim{
		log: opts.Log, base: opts.Now, routes: routes(),
		settings: settings{windows: true, keepAlive: 20 * time.Second, processing: 3 * time.Second},
		windows:  map[windowKey]*window{},
		oauth:    newAuthority(), people: newDirectory(), posts: newArchive(),
		lists: newShelf(), dms: newMailbox(), media: newStudio(), streams: newSwitchboard(),
		cash: newCashier(),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.base == nil {
		s.base = time.Now
	}
	if len(opts.Apps) == 0 {
		opts.Apps = []App{DefaultApp()}
	}
	if len(opts.Users) == 0 {
		opts.Users = builtinUsers()
	}
	for _, u := range opts.Users {
		s.people.add(u, s.now())
	}
	for _, a := range opts.Apps {
		s.oauth.put(a)
	}
	return s
}

// ServeHTTP answers as X would, or, below /_sim/, as the box itself.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == "/_sim" || strings.HasPrefix(path, "/_sim/"):
		s.control(w, r)
	case path == "/i/oauth2/authorize" || path == "/2/oauth2/authorize":
		s.authorize(w, r)
	default:
		s.serve(w, r)
	}
}

// Advance moves the clock of the box; codes, tokens, windows and media follow.
func (s *Sim) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset += d
	s.note("clock.set", "", "", "", details{"now": stamp(s.now())})
}

// Close ends every open stream. The box can still be used afterwards.
func (s *Sim) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams.closeAll(func(*connection) bool { return true })
}

// now is the time in the box. Callers hold the lock, or are New.
func (s *Sim) now() time.Time { return s.base().Add(s.offset).UTC() }

// A handler performs one action. It runs under the lock and must not block.
type handler func(s *Sim, c *call) reply

func routes() map[string]handler {
	all := map[string]handler{}
	for _, some := range []map[string]handler{
		userRoutes(), postRoutes(), timelineRoutes(), engagementRoutes(), bookmarkRoutes(), listRoutes(),
		listReadRoutes(), dmRoutes(), mediaRoutes(), mediaDetailRoutes(), ruleRoutes(), connectionRoutes(),
	} {
		for id, h := range some {
			all[id] = h
		}
	}
	for _, a := range xapi.All() {
		if _, ok := all[a.ID]; ok {
			continue
		}
		all[a.ID] = generic
		if a.Stream {
			all[a.ID] = openStream
		}
	}
	return all
}
