// Package money counts what X bills, in millionths of a US dollar.
package money

import (
	"fmt"
	"strconv"
	"strings"

	"perch/domain/fault"
)

// Micros is an amount in millionths of a US dollar.
type Micros int64

// USD is one US dollar.
const USD Micros = 1_000_000

// String writes the amount in US dollars, as "0.015" or "12.50": with two digits
// behind the point at least, and as many more as it takes.
func (m Micros) String() string {
	sign, n := "", int64(m)
	if n < 0 {
		sign, n = "-", -n
	}
	behind := strings.TrimRight(fmt.Sprintf("%06d", n%int64(USD)), "0")
	for len(behind) < 2 {
		behind += "0"
	}
	return sign + strconv.FormatInt(n/int64(USD), 10) + "." + behind
}

// Parse reads an amount of US dollars as people write it, as "12.50" or "0".
func Parse(s string) (Micros, error) {
	whole, behind, _ := strings.Cut(s, ".")
	if len(behind) > 6 || whole == "" && behind == "" || strings.Trim(whole+behind, "0123456789") != "" {
		return 0, unreadable(s)
	}
	n, err := strconv.ParseInt(whole+(behind + "000000")[:6], 10, 64)
	if err != nil {
		return 0, unreadable(s)
	}
	return Micros(n), nil
}

func unreadable(s string) error {
	return fault.New(fault.Invalid, "%q is no amount; write US dollars with up to six digits behind the point, as 12.50",
		s)
}

// A Budget is what may be spent at most on each UTC day and in each UTC month.
// Zero is no budget.
type Budget struct {
	Day   Micros
	Month Micros
}

// None reports whether there is no budget at all.
func (b Budget) None() bool { return b.Day == 0 && b.Month == 0 }

// mostBudget is what every store keeps and every reader of JSON reads exactly.
const mostBudget = 1_000_000_000 * USD

// Check refuses a budget that could never be kept.
func (b Budget) Check() error {
	if b.Day < 0 || b.Month < 0 {
		return fault.New(fault.Invalid, "a budget is not negative; 0 is no budget")
	}
	if b.Day > mostBudget || b.Month > mostBudget {
		return fault.New(fault.Invalid, "a budget is at most %s dollars; leave it out for none", mostBudget)
	}
	return nil
}
