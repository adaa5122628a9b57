// Package field reads the values of HTTP fields (RFC 9110 section 5.6).
package field

import "strings"

// Split returns the parts of a value between separators, at least one, without the
// space around them. In a quoted string nothing separates; one that does not end
// reaches to the end of the value.
func Split(value string, separator byte) (parts []string) {
	add := func(part string) { parts = append(parts, strings.Trim(part, " \t")) }
	begin, quoted := 0, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case quoted && c == '\\':
			i++ // whatever it is
		case c == '"':
			quoted = !quoted
		case c == separator && !quoted:
			add(value[begin:i])
			begin = i + 1
		}
	}
	add(value[begin:])
	return parts
}

// Pair returns the name before the equals sign and the value behind it, which may
// be a quoted string. Without the sign the value is empty.
func Pair(part string) (name, value string) {
	name, value, _ = strings.Cut(part, "=")
	name, value = strings.Trim(name, " \t"), strings.Trim(value, " \t")
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return name, value
	}
	var b strings.Builder
	value = value[1 : len(value)-1]
	for i := 0; i < len(value); i++ {
		if value[i] == '\\' && i+1 < len(value) {
			i++
		}
		b.WriteByte(value[i])
	}
	return name, b.String()
}
