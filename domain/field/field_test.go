package field_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"perch/domain/field"
)

func TestWhatIsQuotedSeparatesNothing(t *testing.T) {
	for value, want := range map[string][]string{
		``:                       {``},
		` ,a ,	`:                 {``, `a`, ``},
		`a`:                      {`a`},
		` a ,b,	c;d=e `:          {`a`, `b`, `c;d=e`},
		`a="b, c", d`:            {`a="b, c"`, `d`},
		`a="b\", c", d`:          {`a="b\", c"`, `d`},
		`a="b\\", c`:             {`a="b\\"`, `c`},
		`a="b, c`:                {`a="b, c`},
		`a="b, c\`:               {`a="b, c\`},
		`a\, b`:                  {`a\`, `b`},
		`a="", b="" , "c,d"e, f`: {`a=""`, `b=""`, `"c,d"e`, `f`},
	} {
		if diff := cmp.Diff(want, field.Split(value, ',')); diff != "" {
			t.Errorf("%q: %s", value, diff)
		}
	}
	if diff := cmp.Diff([]string{`a="b;c"`, ``, `d`}, field.Split(`a="b;c";; d`, ';')); diff != "" {
		t.Error(diff)
	}
}

func TestAPairIsANameAndAValue(t *testing.T) {
	for part, want := range map[string][2]string{
		`a`:           {`a`, ``},
		`a=b`:         {`a`, `b`},
		`a = b=c`:     {`a`, `b=c`},
		`a=""`:        {`a`, ``},
		`a="b, \"c"`:  {`a`, `b, "c`},
		`a="b\\"`:     {`a`, `b\`},
		`a="b`:        {`a`, `"b`},
		`a="`:         {`a`, `"`},
		`"a=b"`:       {`"a`, `b"`},
		`a=	"b\c" `:   {`a`, `bc`},
		`a="b"c="d"`:  {`a`, `b"c="d`},
		`a="b"; c="d`: {`a`, `"b"; c="d`},
	} {
		if name, value := field.Pair(part); name != want[0] || value != want[1] {
			t.Errorf("%s: %q, %q", part, name, value)
		}
	}
}
