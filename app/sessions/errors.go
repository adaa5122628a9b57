package sessions

import (
	"errors"
	"strings"

	"perch/domain/fault"
)

// errorCodes are those of RFC 6749 sections 4.1.2.1 and 5.2, and RFC 9449's. A fault that is
// named like one keeps it.
var errorCodes = map[string]bool{
	"invalid_request": true, "invalid_client": true, "invalid_grant": true, "unauthorized_client": true,
	"unsupported_grant_type": true, "unsupported_response_type": true, "invalid_scope": true,
	"access_denied": true, "server_error": true, "temporarily_unavailable": true,
	"invalid_dpop_proof": true, "use_dpop_nonce": true, // RFC 9449
}

// ErrorCode returns the OAuth error code for err.
func ErrorCode(err error) string {
	if code := strings.ReplaceAll(fault.SlugOf(err), "-", "_"); errorCodes[code] {
		return code
	}
	switch fault.KindOf(err) {
	case fault.Invalid, fault.TooLarge, fault.WrongMethod, fault.NotFound, fault.Conflict:
		return "invalid_request"
	case fault.Unauthenticated:
		return "invalid_client"
	case fault.Forbidden:
		return "access_denied"
	case fault.Limited, fault.Unavailable:
		return "temporarily_unavailable"
	case fault.Internal, fault.Upstream:
	}
	return "server_error"
}

// Description is what the client's developer is told, in the characters that
// RFC 6749 allows in error_description.
func Description(err error) string {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Say == "" {
		return "something went wrong inside Perch; try again"
	}
	return strings.Map(func(r rune) rune {
		if r == '"' || r == '\\' || r < ' ' || r > '~' {
			return '\''
		}
		return r
	}, e.Say)
}
