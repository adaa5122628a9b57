// Package secret holds what must not be printed: plaintext that only its user
// may reveal, and boxes that only a keyring can open.
package secret

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

const hidden = "[secret]"

// Text is a secret string. Printing, logging or marshalling it shows only that
// there is one. The pointer keeps fmt from reaching the string through an
// unexported field.
type Text struct{ s *string }

// New wraps s.
func New(s string) Text { return Text{&s} }

// Reveal returns the plaintext. It is the one way in.
func (t Text) Reveal() string {
	if t.s == nil {
		return ""
	}
	return *t.s
}

// Empty reports whether there is nothing to hide.
func (t Text) Empty() bool { return t.s == nil || *t.s == "" }

// Equal compares in time that depends on the lengths alone.
func (t Text) Equal(u Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(u.Reveal())) == 1
}

// String hides the text.
func (t Text) String() string { return hidden }

// GoString hides the text.
func (t Text) GoString() string { return hidden }

// Format hides the text under every verb.
func (t Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// LogValue hides the text.
func (t Text) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the text.
func (t Text) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// UnmarshalText takes a secret in, for settings.
func (t *Text) UnmarshalText(b []byte) error {
	*t = New(string(b))
	return nil
}

// A Box is a sealed secret in a printable form. It opens only under the label
// it was sealed with, so a box moved to another row stays shut.
type Box string

// Empty reports whether the box holds nothing.
func (b Box) Empty() bool { return b == "" }

// Label ties a box to its place: a kind and the IDs of its row. Each part is
// preceded by its length, so that no two lists of parts give the same label.
func Label(kind string, ids ...string) string {
	var s strings.Builder
	for _, part := range append([]string{kind}, ids...) {
		s.WriteString(strconv.Itoa(len(part)))
		s.WriteByte(':')
		s.WriteString(part)
	}
	return s.String()
}
