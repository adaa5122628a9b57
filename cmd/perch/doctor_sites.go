package main

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"perch/domain/client"
)

// strangers names the origins of an application in cookie mode from which no
// browser sends the cookie.
func strangers(a client.App, public string) (say []string) {
	if !a.Cookies || public == "" {
		return nil
	}
	for _, origin := range a.Origins {
		if !oneSite(string(origin), public) {
			say = append(say, fmt.Sprintf("holds sessions in cookies, but browsers will not send the cookie from %s: "+
				"it is not of one site with %s; serve the page from the same site, or let it hold tokens (perch apps change "+
				"--no-cookies)", origin, public))
		}
	}
	return say
}

// oneSite reports whether two URLs may be of one site: scheme and registrable
// domain. Without the list of public suffixes it errs to yes: two labels of the
// host in common are enough, so a.co.uk and b.co.uk pass.
func oneSite(a, b string) bool {
	u, err1 := url.Parse(a)
	v, err2 := url.Parse(b)
	if err1 != nil || err2 != nil || u.Scheme != v.Scheme {
		return false
	}
	one, other := strings.ToLower(u.Hostname()), strings.ToLower(v.Hostname())
	if one == other || net.ParseIP(one) != nil || net.ParseIP(other) != nil {
		return one == other
	}
	return slices.Equal(lastLabels(one), lastLabels(other))
}

// lastLabels are the last two labels of a host, or all there are.
func lastLabels(host string) []string {
	labels := strings.Split(host, ".")
	return labels[max(0, len(labels)-2):]
}
