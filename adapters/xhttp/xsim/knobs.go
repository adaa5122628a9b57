package xsim

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// wireMischief is a rule as /_sim/mischief shows and takes it.
type wireMischief struct {
	Mischief
	Delay string `json:"delay,omitempty"`
	Seen  int    `json:"seen,omitempty"`
	Done  int    `json:"done,omitempty"`
}

func wire(m Mischief, seen, done int) wireMischief {
	v := wireMischief{Mischief: m, Seen: seen, Done: done}
	if m.Delay > 0 {
		v.Delay = m.Delay.String()
	}
	return v
}

func (s *Sim) listMischief(w http.ResponseWriter, _ *http.Request) {
	rules := []wireMischief{}
	s.mu.Lock()
	for _, t := range s.trouble.rules {
		rules = append(rules, wire(t.Mischief, t.seen, t.done))
	}
	s.mu.Unlock()
	show(w, http.StatusOK, object{"mischief": rules})
}

func (s *Sim) postMischief(w http.ResponseWriter, r *http.Request) {
	var in wireMischief
	if err := take(r, &in); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if in.Delay != "" {
		d, err := time.ParseDuration(in.Delay)
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		in.Mischief.Delay = d
	}
	m, err := s.addMischief(in.Mischief)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	show(w, http.StatusCreated, wire(m, 0, 0))
}

func (s *Sim) deleteMischief(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	s.mu.Lock()
	before := len(s.trouble.rules)
	s.trouble.rules = slices.DeleteFunc(s.trouble.rules, func(t *rule) bool { return id == "" || t.ID == id })
	removed := before - len(s.trouble.rules)
	s.mu.Unlock()
	show(w, http.StatusOK, object{"removed": removed})
}

func (s *Sim) settingsKnob(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	now := s.settings
	s.mu.Unlock()
	show(w, http.StatusOK, object{
		"windows": now.windows, "keep_alive": now.keepAlive.String(), "processing": now.processing.String(),
	})
}

func (s *Sim) setSettings(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Windows    *bool  `json:"windows"`
		KeepAlive  string `json:"keep_alive"`
		Processing string `json:"processing"`
	}
	if err := take(r, &in); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	s.mu.Lock()
	next := s.settings
	s.mu.Unlock()
	if in.Windows != nil {
		next.windows = *in.Windows
	}
	for _, d := range []struct {
		text string
		to   *time.Duration
	}{{in.KeepAlive, &next.keepAlive}, {in.Processing, &next.processing}} {
		if d.text == "" {
			continue
		}
		v, err := time.ParseDuration(d.text)
		if err != nil || v <= 0 {
			refuse(w, http.StatusBadRequest, fmt.Errorf("%q is not a duration such as 20s", d.text))
			return
		}
		*d.to = v
	}
	s.mu.Lock()
	s.settings = next
	s.mu.Unlock()
	s.settingsKnob(w, r)
}
