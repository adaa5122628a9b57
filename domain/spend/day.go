// Package spend says what calls cost at X: before they are made, from their
// replies, and added up. X counts by UTC days, and so does everything here.
package spend

import (
	"fmt"
	"time"

	"perch/domain/fault"
)

// A Day is a UTC day as the number YYYYMMDD; 20261126 is 2026-11-26.
type Day int64

// A Month is a UTC month as the number YYYYMM.
type Month int64

// DayOf returns the UTC day that t is in.
func DayOf(t time.Time) Day {
	t = t.UTC()
	return Day(t.Year()*10000 + int(t.Month())*100 + t.Day())
}

// ParseDay reads a day as it is written, as 2026-11-26.
func ParseDay(s string) (Day, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, fault.New(fault.Invalid, "%q is no day; write it as 2026-11-26", s)
	}
	return DayOf(t), nil
}

// String writes the day as 2026-11-26.
func (d Day) String() string { return fmt.Sprintf("%04d-%02d-%02d", d/10000, d/100%100, d%100) }

// Month returns the month that the day is in.
func (d Day) Month() Month { return Month(d / 100) }

// Start returns when the day begins.
func (d Day) Start() time.Time {
	return time.Date(int(d/10000), time.Month(d/100%100), int(d%100), 0, 0, 0, 0, time.UTC)
}

// End returns when the day is over, which is when the next one begins.
func (d Day) End() time.Time { return d.Start().AddDate(0, 0, 1) }

// String writes the month as 2026-11.
func (m Month) String() string { return fmt.Sprintf("%04d-%02d", m/100, m%100) }

// End returns when the month is over, which is when the next one begins.
func (m Month) End() time.Time {
	return time.Date(int(m/100), time.Month(m%100)+1, 1, 0, 0, 0, 0, time.UTC)
}
