// Package fault says how a request can fail. A fault separates what may be told
// to the client's developer from what stays inside.
package fault

import (
	"errors"
	"fmt"
	"maps"
	"time"
)

// A Kind is a way of failing. A Kind is itself an error, so that
// errors.Is(err, fault.NotFound) reads as a sentence.
type Kind uint8

// The kinds of failure. Internal is the zero value: an unclassified failure
// says nothing to the outside.
const (
	Internal        Kind = iota
	Invalid              // the request is malformed; sending it again will not help
	Unauthenticated      // no credential, or one that is not good
	Forbidden            // a good credential that does not allow this
	NotFound             // no such thing, or none the caller may know of
	WrongMethod          // the path exists, but not with this method
	Conflict             // somebody else came first; look again
	TooLarge             // more bytes than the operation takes
	Limited              // a limit is reached; come back later
	Upstream             // X answered something unusable
	Unavailable          // a part we need does not answer; come back later
)

// Kinds lists every kind.
func Kinds() []Kind {
	return []Kind{
		Internal, Invalid, Unauthenticated, Forbidden, NotFound, WrongMethod,
		Conflict, TooLarge, Limited, Upstream, Unavailable,
	}
}

func (k Kind) Error() string {
	switch k {
	case Invalid:
		return "invalid request"
	case Unauthenticated:
		return "not authenticated"
	case Forbidden:
		return "not allowed"
	case NotFound:
		return "not found"
	case WrongMethod:
		return "method not allowed"
	case Conflict:
		return "conflict"
	case TooLarge:
		return "too large"
	case Limited:
		return "limit reached"
	case Upstream:
		return "unusable answer from X"
	case Unavailable:
		return "unavailable"
	case Internal:
	}
	return "internal error"
}

// An Error is a failure with a sentence for the client's developer.
type Error struct {
	Kind  Kind
	Slug  string            // last segment of the problem type, as "grant-revoked"
	Say   string            // what happened and what to do; empty for Internal
	Wait  time.Duration     // after which it is worth trying again; zero: unknown
	Extra map[string]string // further members of the problem document
	Head  map[string]string // headers of the answer
	cause error
}

// New returns a failure of kind k that says the formatted sentence.
func New(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Say: fmt.Sprintf(format, args...)}
}

// Named returns the failure with the last segment of its problem type set.
func (e Error) Named(slug string) *Error { e.Slug = slug; return &e }

// After returns the failure with the time after which to try again.
func (e Error) After(d time.Duration) *Error { e.Wait = d; return &e }

// Because returns the failure with its cause, which is never shown to a client.
func (e Error) Because(err error) *Error { e.cause = err; return &e }

// With returns the failure with one more member for its problem document.
func (e Error) With(name, value string) *Error {
	e.Extra = maps.Clone(e.Extra)
	if e.Extra == nil {
		e.Extra = map[string]string{}
	}
	e.Extra[name] = value
	return &e
}

// Heading returns the failure with one more header for its answer.
func (e Error) Heading(name, value string) *Error {
	e.Head = maps.Clone(e.Head)
	if e.Head == nil {
		e.Head = map[string]string{}
	}
	e.Head[name] = value
	return &e
}

// Error is for operators: it includes the cause.
func (e *Error) Error() string {
	s := e.Say
	if s == "" {
		s = e.Kind.Error()
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap gives the kind and the cause to errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.cause}
}

// KindOf returns the kind of err, Internal if it has none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	if k, ok := errors.AsType[Kind](err); ok {
		return k
	}
	return Internal
}

// SlugOf returns the slug of err, "" if it has none.
func SlugOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Slug
	}
	return ""
}
