package operator_test

import (
	"slices"
	"testing"
	"time"

	"perch/domain/operator"
)

func TestARoleCoversThoseBeforeIt(t *testing.T) {
	roles := operator.Roles()
	for i, r := range roles {
		for j, needed := range roles {
			if r.Covers(needed) != (i >= j) {
				t.Errorf("%s covers %s: %v", r, needed, r.Covers(needed))
			}
		}
	}
	for _, odd := range []operator.Role{"", "Owner", "root"} {
		if slices.ContainsFunc(roles, func(r operator.Role) bool { return odd.Covers(r) || r.Covers(odd) }) {
			t.Errorf("the role %q means something", odd)
		}
	}
}

func TestAnOperatorIsGoodUntilTheEnd(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for want, o := range map[bool][]operator.Operator{
		true:  {{}, {Expires: now.Add(1)}},
		false: {{Expires: now}, {Revoked: now.Add(time.Hour)}, {Revoked: now, Expires: now.Add(time.Hour)}},
	} {
		for _, one := range o {
			if one.Good(now) != want {
				t.Errorf("%+v is good: %v", one, !want)
			}
		}
	}
}
