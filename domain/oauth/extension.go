package oauth

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"perch/domain/client"
	"perch/domain/secret"
)

// ExtensionTTL is how long a link that asks for more scopes works.
const ExtensionTTL = 10 * time.Minute

// An Extension is scopes that a grant, or a session of it, lacks for something
// the user wants to do.
type Extension struct {
	App     client.AppID
	Grant   GrantID
	Session string // that is to reach as far; "" for none
	Scopes  Scopes // that are missing
	Expires time.Time
}

// OtherUser names the fault of an extension that another user allowed.
const OtherUser = "other-user"

const extensionLabel = "grant.extension"

// Words are the extension as text that can be signed. Each field is preceded by
// its length, so that no two extensions have the same words.
func (e Extension) Words() string {
	return secret.Label(extensionLabel, string(e.App), string(e.Grant), e.Session, string(e.Scopes),
		strconv.FormatInt(e.Expires.Unix(), 10))
}

// Ticket is the extension with its proof, as it stands in a link.
func (e Extension) Ticket(proof string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(e.Words())) + "." + proof
}

// ReadTicket is the other way. Whether the proof is good, and whether the
// extension has expired, is the caller's to judge. ok is false for what is not
// written as Ticket writes it.
func ReadTicket(ticket string) (e Extension, proof string, ok bool) {
	words, proof, _ := strings.Cut(ticket, ".")
	b, err := base64.RawURLEncoding.Strict().DecodeString(words)
	if err != nil || proof == "" {
		return Extension{}, "", false
	}
	fields := fieldsOf(string(b))
	if len(fields) != 6 {
		return Extension{}, "", false
	}
	unix, err := strconv.ParseInt(fields[5], 10, 64)
	e = Extension{
		App: client.AppID(fields[1]), Grant: GrantID(fields[2]), Session: fields[3], Scopes: Scopes(fields[4]),
		Expires: time.Unix(unix, 0).UTC(),
	}
	if err != nil || e.Ticket(proof) != ticket { // spelled in another way
		return Extension{}, "", false
	}
	return e, proof, true
}

// fieldsOf takes apart what secret.Label puts together; nil where it did not.
func fieldsOf(label string) []string {
	var fields []string
	for label != "" {
		size, rest, ok := strings.Cut(label, ":")
		n, err := strconv.Atoi(size)
		if !ok || err != nil || n < 0 || n > len(rest) {
			return nil
		}
		fields, label = append(fields, rest[:n]), rest[n:]
	}
	return fields
}
