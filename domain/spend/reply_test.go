package spend_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/domain/spend"
)

func TestResourcesOfAReplyAreCounted(t *testing.T) {
	for body, want := range map[string]spend.Findings{
		`{"data":{"id":"1","text":"a"}}`:                                        {Data: true, IDs: []string{"1"}},
		`{"data":[{"id":"1"},{"id":"2"},{"id":"1"}]}`:                           {Data: true, IDs: []string{"1", "2"}},
		`{"data":[{"id":1},{"name":"a"},{"name":"b"}]}`:                         {Data: true, IDs: []string{"1"}, Nameless: 2},
		`{"data":[],"meta":{"result_count":0}}`:                                 {Data: true},
		`{"meta":{"result_count":0}}`:                                           {},
		`{"data":null,"errors":[{"title":"Not Found Error"}]}`:                  {},
		`{"errors":[{"title":"Not Found Error"}]}`:                              {},
		`{"data":[{"id":"1"}],"errors":[{"title":"x"}]}`:                        {Data: true, IDs: []string{"1"}},
		`{"data":[{"id":"a\u0000"},{"id":"` + strings.Repeat("1", 201) + `"}]}`: {Data: true, Nameless: 2},
		"{\"data\":[{\"id\":[\"\xff\"]},{\"id\":\"\xff\"},{\"id\":\"2\"}]}":     {Data: true, IDs: []string{"2"}, Nameless: 2},
		`{"data":[{"id":["1"]},{"id":{"a":1}},{"id":true},{"id":null}]}`:        {Data: true, Nameless: 4},
		`{"data":"odd"}`: {Data: true, Nameless: 1},
		`{}`:             {},
		`{"data":[{"id":"1"}],"includes":{"users":[{"id":"7"},{"id":"7"},{"id":"8"}],"tweets":[{"id":"1"}],"media":[{"media_key":"3_1"}]}}`: {
			Data: true, IDs: []string{"1"}, Includes: 25_000,
		},
	} {
		got, ok := spend.Find([]byte(body))
		if d := cmp.Diff(want, got); d != "" || !ok {
			t.Errorf("%s: %v (-want +got):\n%s", body, ok, d)
		}
	}
	for _, body := range []string{"", "<html>", `{"data":[{"id":"1"}`, `[]`} {
		if f, ok := spend.Find([]byte(body)); ok {
			t.Errorf("%q is read as %+v", body, f)
		}
	}
}

func TestDaysAndMonthsAreThoseOfUTC(t *testing.T) {
	late := time.Date(2026, 12, 31, 23, 30, 0, 0, time.FixedZone("", -3600))
	d := spend.DayOf(late)
	if d != 20270101 || d.String() != "2027-01-01" || d.Month().String() != "2027-01" {
		t.Errorf("%s is on %s in %s", late, d, d.Month())
	}
	if got, err := spend.ParseDay("2026-11-26"); err != nil || got != 20261126 {
		t.Errorf("read %d, %v", got, err)
	}
	for _, s := range []string{"", "2026-13-01", "26-11-26", "20261126", "2026-02-30"} {
		if got, err := spend.ParseDay(s); err == nil {
			t.Errorf("%q is read as %s", s, got)
		}
	}
	last := spend.Day(20261231)
	if want := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC); last.End() != want || last.Month().End() != want {
		t.Errorf("the year ends at %v and %v", last.End(), last.Month().End())
	}
}
