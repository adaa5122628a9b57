package main

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completes is what shells ask perch with while a line is typed. The words of
// the line follow, the last of which is to be completed.
const completes = "__complete"

// files is answered where the shell is to look for files itself.
const files = ":files"

//go:embed completion.bash
var bashCompletion string

//go:embed completion.zsh
var zshCompletion string

//go:embed completion.fish
var fishCompletion string

type completionVerb struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help says how to use the script.
func (completionVerb) Help() string {
	return `bash   source <(perch completion bash)      in ~/.bashrc
zsh    source <(perch completion zsh)       in ~/.zshrc, after compinit
fish   perch completion fish | source       in ~/.config/fish/config.fish`
}

// Run writes the script.
func (v completionVerb) Run(p *program) error {
	p.say("%s", map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[v.Shell])
	return nil
}

// complete answers a shell: each line is a word that may stand there, and after
// a tab what it means.
func (p *program) complete(root *kong.Node, words []string) int {
	if len(words) == 0 {
		words = []string{""}
	}
	node, waiting := root, (*kong.Flag)(nil)
	for _, word := range words[:len(words)-1] {
		switch next := childOf(node, word); {
		case waiting != nil && word == "=": // bash takes --kind=secret for three words
		case waiting != nil:
			waiting = nil
		case strings.HasPrefix(word, "--"):
			waiting = valued(node, word)
		case next != nil:
			node = next
		}
	}
	begun := words[len(words)-1]
	name, value, whole := strings.Cut(begun, "=")
	switch {
	case waiting != nil:
		p.offer(strings.TrimPrefix(begun, "="), "", values(waiting))
	case whole && valued(node, name) != nil:
		p.offer(value, name+"=", values(valued(node, name)))
	case strings.HasPrefix(begun, "-"):
		p.offer(begun, "", flagWords(node))
	default:
		p.offer(begun, "", verbWords(node))
	}
	return exitDone
}

func (p *program) offer(begun, before string, words []string) {
	for _, word := range words {
		switch {
		case word == files:
			p.say("%s\n", files)
		case strings.HasPrefix(word, begun):
			p.say("%s%s\n", before, word)
		}
	}
}

// flagsOf are the flags that may follow here.
func flagsOf(node *kong.Node) []*kong.Flag {
	all := slices.Concat(node.AllFlags(true)...)
	if leaves := node.Leaves(true); !node.Leaf() && len(leaves) > 0 {
		for _, flag := range leaves[0].Flags {
			if is, _ := early("--" + flag.Name); is {
				all = append(all, flag)
			}
		}
	}
	return all
}

// valued returns the flag that the word names, if it takes a value that is not
// there yet.
func valued(node *kong.Node, word string) *kong.Flag {
	for _, flag := range flagsOf(node) {
		if "--"+flag.Name == word && !flag.IsBool() {
			return flag
		}
	}
	return nil
}

func values(flag *kong.Flag) []string {
	if strings.Contains(flag.PlaceHolder, "FILE") || strings.Contains(flag.PlaceHolder, "FOLDER") {
		return []string{files}
	}
	return slices.DeleteFunc(flag.EnumSlice(), func(v string) bool { return v == "" })
}

func flagWords(node *kong.Node) (words []string) {
	for _, flag := range flagsOf(node) {
		words = append(words, "--"+flag.Name+"\t"+brief(flag.Help))
	}
	return words
}

func verbWords(node *kong.Node) (words []string) {
	for _, child := range node.Children {
		if !child.Hidden {
			words = append(words, child.Name+"\t"+brief(child.Help))
		}
	}
	if len(node.Positional) > 0 {
		words = append(words, node.Positional[0].EnumSlice()...)
	}
	return words
}

// brief is the first sentence.
func brief(help string) string {
	say, _, _ := strings.Cut(help, ". ")
	return strings.TrimSuffix(say, ".")
}
