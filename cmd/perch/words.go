package main

import (
	"context"
	"errors"
	"net"
	"net/url"
	"regexp"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// inWords says why somebody could not be reached.
func inWords(err error) string {
	if say := distrust(err); say != "" {
		return say
	}
	unknown, isUnknown := errors.AsType[*net.DNSError](err)
	broken, isBroken := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there"
	case isUnknown:
		return "the name " + unknown.Name + " cannot be found"
	case errors.Is(err, context.DeadlineExceeded), isBroken && broken.Timeout():
		return "no answer in time"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine has no such address"
	}
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err // without the URL, which the sentence names already
	}
	if outer, ok := errors.AsType[*net.OpError](err); ok {
		err = outer.Err
	}
	return err.Error()
}

// wrongTime is how the parser of flags refuses a length of time.
var wrongTime = regexp.MustCompile(`^(--[a-z-]+): expected duration but got ("[^"]*").*$`)

// wrongMoney is how it refuses an amount that begins like a flag: one below zero.
var wrongMoney = regexp.MustCompile(`^(--[a-z-]*budget-[a-z]+): expected string value but got ("[^"]*") \(short`)

// misread says what is wrong with a command line, and where its verb is
// explained.
func misread(err error) string {
	say, verb := err.Error(), "perch"
	if m := wrongTime.FindStringSubmatch(say); m != nil {
		say = m[1] + " is " + m[2] + ", which is no length of time; write it as 90m or 720h"
	}
	if m := wrongMoney.FindStringSubmatch(say); m != nil {
		say = m[1] + " is " + m[2] + ", which is no amount; write US dollars, as 5 or 12.50, or 0 for no budget"
	}
	if parse, ok := errors.AsType[*kong.ParseError](err); ok && parse.Context != nil {
		verb = pathOf(parse.Context)
	}
	return say + "; " + verb + " --help shows what there is"
}

// pathOf is how the chosen verb is called.
func pathOf(c *kong.Context) string {
	path := []string{"perch"}
	for _, step := range c.Path {
		if step.Command != nil {
			path = append(path, step.Command.Name)
		}
	}
	return strings.Join(path, " ")
}
