package xapi

import (
	"net/url"
	"strings"

	"perch/domain/fault"
)

// Address is where on X's host the action is asked for: the escaped path, and the
// query, decoded and encoded again. It is fault.Invalid if the path wants another
// parameter, or if the query is not well-formed or names a credential, which would
// be a second one beside the call's own (RFC 6750 section 2.3).
func (a Action) Address(params map[string]string, query string) (path, encoded string, err error) {
	path, ok := a.Fill(params)
	if !ok {
		return "", "", fault.New(fault.Invalid, "%s %s needs a value for every parameter of its path", a.Method, a.Path)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", "", fault.New(fault.Invalid, "the query is not well-formed; percent-encode its names and values")
	}
	for name := range values {
		switch n := strings.ToLower(name); {
		case n == "access_token", n == "token", n == "bearer_token", strings.HasPrefix(n, "oauth_"):
			return "", "", fault.New(fault.Invalid, "the query names a credential; use the Authorization header")
		}
	}
	return path, values.Encode(), nil
}

// longestHeader is how many characters a header may have that X is sent.
const longestHeader = 1000

// Headers are what X is told of the answer that is wanted and of the call's body,
// if it has one. Where X takes JSON alone it is told JSON: curl -d says otherwise by
// itself. A header that cannot be sent is fault.Invalid.
func (a Action) Headers(accept, kind string, body bool) (map[string]string, error) {
	h := map[string]string{"Accept": "*/*"}
	if accept != "" {
		h["Accept"] = accept
	}
	if body {
		h["Content-Type"] = "application/json"
		if a.Body == Upload && kind != "" || strings.HasPrefix(kind, "application/json") {
			h["Content-Type"] = kind
		}
	}
	for name, value := range h {
		if len(value) > longestHeader || strings.IndexFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			return nil, fault.New(fault.Invalid, "the header %s must be printable ASCII of at most %d characters",
				name, longestHeader)
		}
	}
	return h, nil
}
