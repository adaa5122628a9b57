package cloudflare

import (
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A statement is one of SQL, as the API takes it.
type statement struct {
	SQL    string   `json:"sql"`
	Params []string `json:"params,omitempty"`

	verb verb
}

// A verb is what a statement does, as far as the driver has to know.
type verb string

const selects verb = "SELECT"

// verbs are those that may stand after WITH.
const verbs = " SELECT VALUES INSERT REPLACE UPDATE DELETE "

func (v verb) changes() bool {
	return v != selects && v != "VALUES" && v != "" && strings.Contains(verbs, " "+string(v)+" ")
}

// bind cuts the text into statements and puts the arguments in, of which only
// texts stay arguments: the API takes no others, and a number that is sent as a
// text is no longer less than another number.
func bind(text string, args []driver.NamedValue) ([]statement, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("the statement is not UTF-8")
	}
	list := split(text)
	if len(args) > 0 && len(list) != 1 {
		return nil, errors.New("only a single statement can have arguments")
	}
	out := make([]statement, 0, len(list))
	for _, tokens := range list {
		s := statement{verb: verbOf(tokens)}
		if err := s.fill(tokens, args); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// fill writes the tokens with the arguments in place.
func (s *statement) fill(tokens []token, args []driver.NamedValue) error {
	var b strings.Builder
	highest, used := 0, make([]bool, len(args))
	for _, t := range tokens {
		if t.kind != placeholder {
			b.WriteString(t.text)
			continue
		}
		n, err := t.place(highest + 1)
		if err != nil {
			return err
		}
		if n < 1 || n > len(args) {
			return fmt.Errorf("there are %d arguments, and the statement has %s", len(args), t.text)
		}
		highest, used[n-1] = max(highest, n), true
		if err := s.put(&b, args[n-1]); err != nil {
			return fmt.Errorf("argument %d: %w", n, err)
		}
	}
	if i := slices.Index(used, false); i >= 0 {
		return fmt.Errorf("the statement has no place for argument %d", i+1)
	}
	s.SQL = b.String()
	return nil
}

// place is the number of the argument that the placeholder stands for.
func (t token) place(next int) (int, error) {
	if t.text == "?" {
		return next, nil
	}
	n, err := strconv.Atoi(t.text[1:])
	if err != nil || t.text[0] != '?' {
		return 0, errNamed()
	}
	return n, nil
}

func errNamed() error { return errors.New("arguments have no names here; write ? or ?1") }

// put writes one argument. Negative numbers stand in brackets, because two minus
// signs begin a comment.
func (s *statement) put(b *strings.Builder, arg driver.NamedValue) error {
	if arg.Name != "" {
		return errNamed()
	}
	switch v := arg.Value.(type) {
	case string:
		if !utf8.ValidString(v) {
			return errors.New("a text that is not UTF-8")
		}
		b.WriteString("?")
		s.Params = append(s.Params, v)
	case nil:
		b.WriteString("NULL")
	case int64:
		b.WriteString(bracketed(strconv.FormatInt(v, 10)))
	case bool:
		b.WriteString(map[bool]string{true: "1", false: "0"}[v])
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return errors.New("a number that is none")
		}
		digits := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(digits, ".e") {
			digits += ".0"
		}
		b.WriteString(bracketed(digits))
	case []byte:
		b.WriteString("x'" + hex.EncodeToString(v) + "'")
	default:
		return fmt.Errorf("D1 has nothing like a %T; give times as whole numbers", v)
	}
	return nil
}

func bracketed(digits string) string {
	if strings.HasPrefix(digits, "-") {
		return "(" + digits + ")"
	}
	return digits
}

// verbOf is the statement's first word; after WITH the one that says what is
// done with what.
func verbOf(tokens []token) verb {
	depth, with := 0, false
	for _, t := range tokens {
		switch {
		case t.text == "(":
			depth++
		case t.text == ")":
			depth--
		case t.kind != word || depth > 0:
		case !with && t.is("WITH"):
			with = true
		case !with || strings.Contains(verbs, " "+strings.ToUpper(t.text)+" "):
			return verb(strings.ToUpper(t.text))
		}
	}
	return ""
}
