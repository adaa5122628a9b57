// Package xapp holds developer apps of X. X bills and limits per developer app,
// so everything learned from X is kept by its X App.
package xapp

import (
	"time"

	"perch/domain/secret"
)

// ID names an X App.
type ID string

// Default is the X App given by settings. Of it only the client ID is stored, to
// notice when settings name another one.
const Default ID = "default"

// An App is a developer app registered with X, its secrets sealed.
// Methods return the changed app and leave the receiver as it was.
type App struct {
	ID           ID
	Name         string
	ClientID     string     // OAuth 2.0
	ClientSecret secret.Box // empty for a public client
	Bearer       secret.Box // app-only bearer; empty if it is to be asked for
	APIKey       string     // consumer key, with APISecret the way to a bearer
	APISecret    secret.Box
	Created      time.Time
	Version      int64 // set by the store
}

// The kinds of box an X App holds; part of their labels.
const (
	SecretLabel    = "xapp.client_secret" // #nosec G101 -- a label, not a secret
	BearerLabel    = "xapp.bearer"
	APISecretLabel = "xapp.api_secret" // #nosec G101 -- a label, not a secret
)
