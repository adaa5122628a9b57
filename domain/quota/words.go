package quota

import (
	"fmt"
	"strconv"
	"time"

	"perch/domain/xapi"
)

// Words says for people what the rule allows: "5 writes in a minute".
func (r Rule) Words() string {
	kind, of := "call", ""
	switch r.Class {
	case "":
	case xapi.Read, Write:
		kind = r.Class
	case xapi.Messages, Media:
		of = " for " + r.Class
	case xapi.Post, xapi.Engage:
		of = " to " + r.Class
	default:
		of = " of " + r.Class
	}
	return counted(r.Max, kind) + of + " in " + r.span()
}

// span is the length of the window: "a minute", "15 minutes".
func (r Rule) span() string {
	one := map[time.Duration]string{
		time.Second: "a second", time.Minute: "a minute", time.Hour: "an hour", 24 * time.Hour: "a day",
	}[r.Window]
	if one != "" {
		return one
	}
	switch d := r.Window; {
	case d%(24*time.Hour) == 0:
		return counted(int64(d/(24*time.Hour)), "day")
	case d%time.Hour == 0:
		return counted(int64(d/time.Hour), "hour")
	case d%time.Minute == 0:
		return counted(int64(d/time.Minute), "minute")
	}
	return counted(int64(r.Window/time.Second), "second")
}

func counted(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.FormatInt(n, 10) + " " + what
}

// Soon says for people how long it is until then, rounded up: "49 s", "12 min",
// "5 h". It is a second at least.
func Soon(d time.Duration) string {
	for _, u := range []struct {
		most, unit time.Duration
		name       string
	}{{2 * time.Minute, time.Second, "s"}, {2 * time.Hour, time.Minute, "min"}} {
		if n := (d + u.unit - 1) / u.unit; n*u.unit <= u.most {
			return fmt.Sprintf("%d %s", max(n, 1), u.name)
		}
	}
	return fmt.Sprintf("%d h", (d+time.Hour-1)/time.Hour)
}
