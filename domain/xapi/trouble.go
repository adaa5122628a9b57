package xapi

import (
	"encoding/json"
	"path"
	"strings"

	"perch/domain/fault"
)

// A Trouble is a refusal of X that has nothing to do with the call itself.
type Trouble uint8

// The troubles that X tells in an answer. They look alike and want different
// things of people: patience, a higher cap, money.
const (
	NoTrouble    Trouble = iota
	RateLimited          // asked too often in a window
	UsageCapped          // the posts of a billing period are used up
	OutOfCredits         // nothing is left to pay with
)

// legacyRateLimit is the code of the older API for a rate limit.
const legacyRateLimit = 88

// envelope is what X's forms of an error have in common: a problem, a problem
// with a list of errors, and the list alone, with codes.
type envelope struct {
	Type   string     `json:"type"`
	Title  string     `json:"title"`
	Period string     `json:"period"`
	Scope  string     `json:"scope"`
	Code   int        `json:"code"`
	Errors []envelope `json:"errors"`
}

// TroubleOf tells what an answer of X with the status and body means. A body
// that cannot be read leaves the status to tell. Answers of success are no
// trouble, whatever errors they list beside their data.
func TroubleOf(status int, body []byte) Trouble {
	if status/100 != 4 {
		return NoTrouble
	}
	for _, e := range envelopes(body) {
		if t, ok := e.trouble(); ok {
			return t
		}
	}
	switch status {
	case 402:
		return OutOfCredits
	case 429:
		return RateLimited
	}
	return NoTrouble
}

// envelopes lists the problem in the body and those it holds.
func envelopes(body []byte) []envelope {
	var e envelope
	if json.Unmarshal(body, &e) != nil {
		return nil
	}
	return append([]envelope{e}, e.Errors...)
}

// trouble is what one problem says of itself. Two hosts have been seen in the
// types, so only the last segment counts.
func (e envelope) trouble() (t Trouble, sure bool) {
	switch kind := path.Base(e.Type); {
	case kind == "usage-capped", e.Title == "UsageCapExceeded":
		return UsageCapped, true
	case strings.HasPrefix(kind, "credits"), e.Title == "CreditsDepleted":
		return OutOfCredits, true
	case kind == "rate-limit-exceeded", e.Code == legacyRateLimit:
		return RateLimited, true
	case kind == "streaming-connection":
		return NoTrouble, true // 429 says that there is a connection already
	}
	return NoTrouble, false
}

// Fault is the trouble as a refusal of Perch's, without the time to wait. body
// is X's answer, if there is one. It is nil for NoTrouble.
func (t Trouble) Fault(body []byte) *fault.Error {
	switch t {
	case RateLimited:
		return fault.New(fault.Limited, "X limits how often this may be called; wait as long as Retry-After says").
			Named("x-rate-limit")
	case UsageCapped:
		return fault.New(fault.Limited, "X's %s is used up, so X answers no more such calls. Waiting for a window does not "+
			"help: the period has to end, or somebody has to raise the cap in X's developer console", capOf(body)).
			Named("x-usage-cap")
	case OutOfCredits:
		return fault.New(fault.Limited, "this X App has no credits left, or has reached its spending limit; somebody has to "+
			"buy credits or raise the limit in X's developer console").Named("x-out-of-credits")
	case NoTrouble:
	}
	return nil
}

// capOf names the cap, as far as X did.
func capOf(body []byte) string {
	for _, e := range envelopes(body) {
		switch {
		case e.Period == "Daily" && e.Scope == "Account", e.Period == "Daily" && e.Scope == "Product",
			e.Period == "Monthly" && e.Scope == "Account", e.Period == "Monthly" && e.Scope == "Product":
			return strings.ToLower(e.Period) + " usage cap of the " + strings.ToLower(e.Scope)
		}
	}
	return "usage cap"
}
