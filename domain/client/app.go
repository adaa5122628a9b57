// Package client describes client applications: the programs registered with
// Perch that act on X for their users.
package client

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"

	"perch/domain/fault"
	"perch/domain/money"
	"perch/domain/quota"
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
	Origins      []Origin     // of browsers; exact
	RedirectURIs []string     // exact
	Actions      []string     // what it may do, in the words of xapi.Covers
	Scopes       []string     // what it may ask of users at most
	Cookies      bool         // its pages hold their session in a cookie instead of tokens
	DPoP         bool         // its access tokens must be bound to a key (RFC 9449)
	Limits       []string     // its own limits, in the words of quota.ParseRule; they go before the house's
	Budget       money.Budget // for all its calls together
	GrantBudget  money.Budget // for the calls of each of its grants
	Created      time.Time
	Version      int64 // set by the store
}

// Permits reports whether the application may perform the action.
func (a App) Permits(act xapi.Action) bool { return xapi.Covers(a.Actions, act) }

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
	if a.Cookies && a.DPoP {
		return fault.New(fault.Invalid, "cookies and dpop exclude each other: DPoP binds tokens to a key, and with cookies "+
			"there are no tokens")
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
	if err := errors.Join(a.Budget.Check(), a.GrantBudget.Check(), a.checkLimits()); err != nil {
		return err
	}
	return xapi.CheckWords(a.Actions)
}

// checkLimits refuses limits that cannot be kept: an address is counted before it
// is known which application a request is for.
func (a App) checkLimits() error {
	rules, err := quota.ParseRules(a.Limits)
	if err != nil {
		return err
	}
	for _, r := range rules {
		if r.Subject == quota.Address {
			return fault.New(fault.Invalid, "%q is for addresses, which are counted before it is known what "+
				"application a request is for; set it in PERCH_LIMITS", r)
		}
	}
	return nil
}
