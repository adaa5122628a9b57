package xsim

import (
	"net/http"
	"strings"

	"perch/domain/xapi"
)

// problems is the prefix of X's problem types, as live replies carry it.
const problems = "https://api.twitter.com/2/problems/"

const problemJSON = "application/problem+json"

// blank is a problem without a type of its own.
func blank(status int, detail string) reply {
	return reply{status: status, kind: problemJSON, body: object{
		"title": http.StatusText(status), "detail": detail, "type": "about:blank", "status": status,
	}}
}

// problem is a problem with one of X's types.
func problem(status int, slug, title, detail string, more object) reply {
	body := object{"title": title, "detail": detail, "type": problems + slug, "status": status}
	for k, v := range more {
		body[k] = v
	}
	return reply{status: status, kind: problemJSON, body: body}
}

// legacy is the envelope of the older API: errors with a code.
func legacy(status, code int, message string) reply {
	return reply{status: status, body: object{"errors": []object{{"code": code, "message": message}}}}
}

// A param is one thing that is wrong with a request.
type param struct{ name, value, message string }

// invalid is X's invalid-request problem, which lists what is wrong.
func invalid(wrong ...param) reply {
	errs := make([]object, 0, len(wrong))
	for _, p := range wrong {
		params := object{}
		if p.name != "" {
			params[p.name] = []string{p.value}
		}
		errs = append(errs, object{"message": p.message, "parameters": params})
	}
	return problem(http.StatusBadRequest, "invalid-request", "Invalid Request",
		"One or more parameters to your request was invalid.", object{"errors": errs})
}

// needed is the complaint about a body field or parameter that is not there.
func needed(name string) reply {
	return invalid(param{name, "", "The `" + name + "` field is required."})
}

// wrongKind is said to a good credential of a kind the action does not take.
func wrongKind(kind string, act xapi.Action) reply {
	names := map[string]string{byUser: "OAuth 2.0 User Context", byApp: "OAuth 2.0 Application-Only"}
	var takes []string
	if act.Auth&xapi.OAuth1 != 0 {
		takes = append(takes, "OAuth 1.0a User Context")
	}
	if act.ByUser() {
		takes = append(takes, names[byUser])
	}
	if act.ByApp() {
		takes = append(takes, names[byApp])
	}
	return problem(http.StatusForbidden, "unsupported-authentication", "Unsupported Authentication",
		"Authenticating with "+names[kind]+" is forbidden for this endpoint.  Supported authentication types are ["+
			strings.Join(takes, ", ")+"].", nil)
}

func missingScopes(missing []string) reply {
	return problem(http.StatusForbidden, "client-forbidden", "Forbidden",
		"The token lacks the scopes this endpoint needs: "+strings.Join(missing, " "),
		object{"reason": "missing-scope", "required_scopes": missing})
}

// absent is a problem item about a resource that does not exist.
func absent(kind, parameter, value string) object {
	return object{
		"title": "Not Found Error", "type": problems + "resource-not-found",
		"detail":        "Could not find " + kind + " with " + parameter + ": [" + value + "].",
		"resource_type": kind, "resource_id": value, "parameter": parameter, "value": value,
	}
}

// missing answers a read of something that is not there: 200 and only errors, as X does.
func missing(kind, parameter, value string) reply {
	return reply{status: http.StatusOK, body: object{"errors": []object{absent(kind, parameter, value)}}}
}

// notFound answers a write on something that is not there.
func notFound(kind, parameter, value string) reply {
	item := absent(kind, parameter, value)
	item["status"] = http.StatusNotFound
	return reply{status: http.StatusNotFound, kind: problemJSON, body: item}
}

// forbidden is a refusal about somebody else's resource.
func forbidden(detail string) reply { return blank(http.StatusForbidden, detail) }

// oauthError is the envelope of the OAuth 2.0 endpoints.
func oauthError(status int, code, description string) reply {
	return reply{status: status, body: object{"error": code, "error_description": description}}
}
