// Package client describes client applications: the programs registered with
// Perch that act on X for their users.
package client

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"perch/domain/fault"
	"perch/domain/xapi"
	"perch/domain/xapp"
)

// AppID names a client application.
type AppID string

// Status says whether an application may do anything at all.
type Status string

// A suspended application keeps its grants but is refused everywhere.
const (
	Active    Status = "active"
	Suspended Status = "suspended"
)

// An App is a client application (RFC 6749, "client").
type App struct {
	ID           AppID
	Name         string
	XApp         xapp.ID
	Status       Status
	Origins      []Origin // of browsers; exact
	RedirectURIs []string // exact
	Actions      []string // what it may do, see Permits
	Scopes       []string // what it may ask of users at most
	Cookies      bool     // its pages hold their session in a cookie instead of tokens
	DPoP         bool     // its access tokens must be bound to a key (RFC 9449)
	Created      time.Time
	Version      int64 // set by the store
}

// Presets of App.Actions, next to tags ("tag:Posts") and operation IDs.
const (
	Everything = "everything"
	Read       = "read"
	Post       = "post"
	Engage     = "engage"
	Messages   = "messages"
)

// Permits reports whether the application may perform the action.
func (a App) Permits(act xapi.Action) bool {
	return slices.ContainsFunc(a.Actions, func(entry string) bool { return covers(entry, act) })
}

func covers(entry string, act xapi.Action) bool {
	private := act.Tag == "Direct Messages" || act.Tag == "Chat"
	switch entry {
	case Everything:
		return true
	case Read:
		return act.Method == "GET" && !private
	case Post:
		return act.Method != "GET" && (act.Tag == "Posts" || act.Tag == "Media")
	case Engage:
		return act.Method != "GET" && !private && act.Tag == "Users"
	case Messages:
		return private
	}
	if tag, ok := strings.CutPrefix(entry, "tag:"); ok {
		return act.Tag == tag
	}
	return act.ID == entry
}

// Redirects reports whether uri is, byte for byte, one of the application's
// redirect URIs (RFC 9700 section 2.1).
func (a App) Redirects(uri string) bool { return slices.Contains(a.RedirectURIs, uri) }

// From reports whether browsers may call from the origin.
func (a App) From(o Origin) bool { return slices.Contains(a.Origins, o) }

// Check refuses an application that could not work or would be unsafe.
func (a App) Check() error {
	if strings.TrimSpace(a.Name) == "" || len(a.Name) > 200 || strings.ContainsFunc(a.Name, unicode.IsControl) {
		return fault.New(fault.Invalid, "name the application, in at most 200 characters, none of them for control")
	}
	if a.Status != Active && a.Status != Suspended {
		return fault.New(fault.Invalid, "status %q is unknown; use active or suspended", a.Status)
	}
	for _, o := range a.Origins {
		if _, err := ParseOrigin(string(o)); err != nil {
			return err
		}
	}
	for _, uri := range a.RedirectURIs {
		if err := CheckRedirectURI(uri); err != nil {
			return err
		}
	}
	for _, entry := range a.Actions {
		if !known(entry) {
			return fault.New(fault.Invalid, "no action, tag or preset is called %q; "+
				"use everything, read, post, engage, messages, tag:NAME or an operation ID of X", entry)
		}
	}
	return nil
}

func known(entry string) bool {
	if tag, ok := strings.CutPrefix(entry, "tag:"); ok {
		return slices.Contains(xapi.Tags(), tag)
	}
	if _, ok := xapi.ByID(entry); ok {
		return true
	}
	return slices.Contains([]string{Everything, Read, Post, Engage, Messages}, entry)
}
