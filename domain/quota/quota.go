// Package quota counts: our own limits on client applications, and the windows
// that X reports in its headers. Both are fixed windows.
package quota

import "time"

// A Limit allows Max calls in each Window.
type Limit struct {
	Max    int64
	Window time.Duration
}

// A Decision is the answer to one call. A refusal is not an error.
type Decision struct {
	Allowed   bool
	Limit     int64
	Remaining int64
	Reset     time.Time // when the window ends
}

// Span names one of X's windows by the header family that reports it.
type Span string

// The windows X reports: x-rate-limit-*, x-user-limit-24hour-*, x-app-limit-24hour-*.
const (
	Short   Span = "rate-limit"
	UserDay Span = "user-limit-24hour"
	AppDay  Span = "app-limit-24hour"
)

// A Window is what X said of one of its limits.
type Window struct {
	Span      Span
	Limit     int64
	Remaining int64
	Reset     time.Time
}
