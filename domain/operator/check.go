package operator

import (
	"slices"
	"strings"
	"unicode"

	"perch/domain/fault"
)

// Check refuses an operator that could not be told from others or has no role.
func (o Operator) Check() error {
	if strings.TrimSpace(o.Name) == "" || len(o.Name) > 200 || strings.ContainsFunc(o.Name, unicode.IsControl) {
		return fault.New(fault.Invalid, "name the operator, in at most 200 characters, none of them for control").
			With("field", "name")
	}
	if !slices.Contains(Roles(), o.Role) {
		return fault.New(fault.Invalid, "the role %q is unknown; use viewer, operator or owner", o.Role).
			With("field", "role")
	}
	return nil
}
