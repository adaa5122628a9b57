package cloudflare

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// codeNoKey says that KV has no such key.
const codeNoKey = 10009

// longestWait bounds what is believed of a Retry-After; longestSay what is kept
// of a message.
const (
	longestWait = time.Hour
	longestSay  = 300
)

// An Error is a call that did not succeed as far as is known. Unless the status is
// from 300 to 499, what was to be done may have been done all the same.
type Error struct {
	Status int    // of the reply; 0 if none came, or not whole
	Code   int    // Cloudflare's; 0 if there is none
	Say    string // what Cloudflare says, or what happened; never the token
	Wait   time.Duration
	cause  error
}

// Error says what happened and, where that is known, what to do.
func (e *Error) Error() string {
	switch {
	case e.Status == 0:
		return "Cloudflare gave no reply: " + e.Say
	case e.Code != 0:
		return fmt.Sprintf("Cloudflare answered %d (code %d): %s%s", e.Status, e.Code, e.Say, e.advice())
	}
	return fmt.Sprintf("Cloudflare answered %d: %s%s", e.Status, e.Say, e.advice())
}

func (e *Error) advice() string {
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "; check the API token and what it permits"
	case http.StatusTooManyRequests:
		return "; Cloudflare's own API takes 1200 calls in five minutes, the store Worker more"
	}
	return ""
}

// Unwrap returns why there was no reply, as a context's end.
func (e *Error) Unwrap() error { return e.cause }

// RetryAfter returns how long to wait before another call, 0 if that is unknown.
func (e *Error) RetryAfter() time.Duration { return e.Wait }

// UniqueViolation reports whether a row with the same key was there.
func (e *Error) UniqueViolation() bool {
	return e.Status != 0 && strings.Contains(e.Say, "UNIQUE constraint failed: ")
}

// lost is an error for a call whose reply did not come, or not whole. The URL in
// the error of net/http adds nothing.
func (c *Client) lost(err error) *Error {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	return &Error{Say: c.clean(err.Error()), cause: err}
}

// refused is an error for a reply whose status is no success.
func (c *Client) refused(reply *http.Response, body []byte) *Error {
	var e envelope
	if json.Unmarshal(body, &e) != nil {
		e = envelope{}
	}
	refusal := c.said(reply.StatusCode, e)
	refusal.Wait = wait(reply.Header.Get("Retry-After"))
	return refusal
}

func (c *Client) said(status int, e envelope) *Error {
	refusal := &Error{Status: status, Say: "without a reason that can be read"}
	if len(e.Errors) > 0 {
		refusal.Code, refusal.Say = e.Errors[0].Code, c.clean(e.Errors[0].Message)
	}
	return refusal
}

func unreadable(err error) *Error {
	return &Error{
		Status: http.StatusOK, cause: err,
		Say: "something else than Cloudflare's API does; check its URL, which ends in /client/v4",
	}
}

// clean is a foreign text as logs may have it: short, on one line, and without
// the token, which a reply could repeat.
func (c *Client) clean(text string) string {
	text = strings.ReplaceAll(text, c.token.Reveal(), "[secret]")
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	if len(text) > longestSay {
		text = strings.ToValidUTF8(text[:longestSay], "") + "…"
	}
	return text
}

// wait reads a Retry-After: seconds, or a date.
func wait(header string) time.Duration {
	if n, err := strconv.ParseUint(header, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, longestWait) // #nosec G115 -- 31 bits
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return min(max(time.Until(at), 0), longestWait)
}
