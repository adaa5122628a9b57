package telemetry

import (
	"regexp"
	"slices"
	"strings"
)

// secretWords hide every name that contains one of them; secretNames hide the
// name that is one of them. Names are compared without case, dashes,
// underscores and dots.
var (
	secretWords = []string{
		"authorization", "cookie", "token", "secret", "password", "passwd", "passphrase", "verifier", "credential",
		"apikey", "privatekey", "assertion",
	}
	secretNames = []string{"key", "code", "state", "bearer", "jwt", "pin", "authorizationcode"}
)

var unpunctuated = strings.NewReplacer("-", "", "_", "", ".", "", " ", "")

// secretName reports whether what has this name is to be hidden.
func secretName(name string) bool {
	name = strings.ToLower(unpunctuated.Replace(name))
	return slices.Contains(secretNames, name) ||
		slices.ContainsFunc(secretWords, func(word string) bool { return strings.Contains(name, word) })
}

// patterns find secrets inside texts. What a pattern keeps is its first group.
var patterns = []*regexp.Regexp{
	// Authorization headers.
	regexp.MustCompile(`(?i)\b(bearer\s+)[\w.~+/=%-]{8,}`),
	regexp.MustCompile(`(?i)\b(basic\s+)[\w+/=-]{16,}`),
	// Parameters of OAuth, as in a query or a form.
	regexp.MustCompile(`(?i)((?:^|[?&\s"'(])(?:code|state)=)[^&\s"')]+`),
	regexp.MustCompile(`(?i)(\b\w*(?:token|secret|password|verifier|api_key|assertion)=)[^&\s"')]+`),
	// Members of JSON.
	regexp.MustCompile(
		`(?i)("\w*(?:token|secret|password|verifier|api_key|assertion|authorization)"\s*:\s*)"(?:[^"\\]|\\.)*"`),
	// Keys and credentials of Perch, and those of X in a box.
	regexp.MustCompile(`()\b(?:sk|rt|op)_[\w.:-]{6,}`),
	regexp.MustCompile(`()\bsim_(?:access|refresh|bearer|code)_[A-Za-z0-9_-]+`),
	// JSON Web Tokens.
	regexp.MustCompile(`()\beyJ[\w-]{4,}\.[\w-]+\.?[\w-]*`),
	// What crypto/rand.Text makes: codes, states, cookies. IDs are in lower case.
	regexp.MustCompile(`()\b[A-Z2-7]{26,}\b`),
	// Anything as long as X's own tokens.
	regexp.MustCompile(`()[A-Za-z0-9_%-]{48,}`),
}

// scrub hides what looks like a secret in s.
func scrub(s string) string {
	if !suspicious(s) {
		return s
	}
	for _, p := range patterns {
		s = p.ReplaceAllString(s, "${1}"+hidden)
	}
	return s
}

// suspicious reports whether any pattern could match: it is cheap, and most
// texts in a log are short words.
func suspicious(s string) bool {
	if len(s) < 7 {
		return false
	}
	if len(s) >= 48 || strings.ContainsAny(s, "= \t\n\"") {
		return true
	}
	capitals := 0
	for i := range len(s) {
		if c := s[i]; (c >= 'A' && c <= 'Z') || (c >= '2' && c <= '7') {
			capitals++
		}
	}
	return capitals >= 26 || strings.Contains(s, "eyJ") || strings.Contains(s, "sk_") ||
		strings.Contains(s, "rt_") || strings.Contains(s, "op_") || strings.Contains(s, "sim_")
}
