package main

import (
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version string

type versionVerb struct{}

// Run says which Perch this is.
func (versionVerb) Run(p *program) error {
	p.say("perch %s, %s, %s/%s\n", versionName(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

// versionFlag does what the verb does, from wherever it stands.
type versionFlag bool

// BeforeReset says which Perch this is, before anything else is looked at.
func (versionFlag) BeforeReset(app *kong.Kong, p *program) error {
	err := versionVerb{}.Run(p)
	app.Exit(0)
	return err
}

// versionName is the release, or else the commit, this program was built from.
func versionName() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	commit, changed := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			commit = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "-changed"
		}
	}
	switch {
	case commit != "":
		return commit + changed
	case info.Main.Version != "" && info.Main.Version != "(devel)":
		return info.Main.Version
	}
	return "devel"
}
