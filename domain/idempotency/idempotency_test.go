package idempotency_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"perch/domain/fault"
	"perch/domain/idempotency"
)

func TestParseKey(t *testing.T) {
	long := strings.Repeat("k", 255)
	for header, want := range map[string]idempotency.Key{
		`"8e03978e-40d5-43e8-bc93-6894a57f9324"`: "8e03978e-40d5-43e8-bc93-6894a57f9324",
		`8e03978e-40d5-43e8-bc93-6894a57f9324`:   "8e03978e-40d5-43e8-bc93-6894a57f9324",
		` bare `:                                 "bare",
		`"with ,\"\\ all"`:                       `with ,"\ all`,
		`a+b/c==`:                                "a+b/c==",
		long:                                     idempotency.Key(long),
		`""`:                                     "",
		``:                                       "",
		`"open`:                                  "",
		`"a";p=1`:                                "",
		`"a" "b"`:                                "",
		`"\n"`:                                   "",
		`a, b`:                                   "",
		"é":                                      "",
		"\"a\x01\"":                              "",
		long + "k":                               "",
	} {
		got, err := idempotency.ParseKey(header)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q is the key %q, %v; want %q", header, got, err, want)
		}
		if err != nil && (fault.SlugOf(err) != "idempotency-key-malformed" || fault.KindOf(err) != fault.Invalid) {
			t.Errorf("%q: %v", header, err)
		}
	}
}

func TestEveryKeyHasASegment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := idempotency.Key(rapid.StringMatching(`(b64\.)?[ -~]{1,40}`).Draw(t, "key"))
		segment := key.Segment()
		if strings.ContainsAny(segment, `/\;?# "`) || segment == "." || segment == ".." {
			t.Fatalf("%q cannot stand in a path", segment)
		}
		text, err := url.PathUnescape(segment)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := idempotency.OfSegment(text); got != key || err != nil {
			t.Fatalf("%q became %q, %v", key, got, err)
		}
	})
}

func TestScopesAndFingerprintsAreTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range []string{
		idempotency.Key("k").Scope("a", "g"), idempotency.Key("k").Scope("a", ""), idempotency.Key("k").Scope("ag", ""),
		idempotency.Key("kg").Scope("a", ""), idempotency.Key("k").Scope("", "ag"),
		idempotency.Key("k").Fingerprint(idempotency.Subject{}),
		idempotency.Key("k2").Fingerprint(idempotency.Subject{}),
		idempotency.Key("k").Fingerprint(idempotency.Subject{Method: "POST"}),
		idempotency.Key("k").Fingerprint(idempotency.Subject{Path: "POST"}),
		idempotency.Key("k").Fingerprint(idempotency.Subject{Query: "POST"}),
		idempotency.Key("k").Fingerprint(idempotency.Subject{Body: []byte("POST")}),
		idempotency.Key("k").Fingerprint(idempotency.Subject{Type: "POST"}),
		idempotency.Key("k").Fingerprint(idempotency.Subject{Length: 1}),
	} {
		if seen[s] {
			t.Errorf("%s comes twice", s)
		}
		seen[s] = true
	}
}

// A life is a record and what really happened.
type life struct {
	now    time.Time
	record idempotency.Record
	kept   bool // there is a record
	open   bool // X was asked, and nobody has said since that it was not performed
	claims int
}

// Whatever happens, in whatever order: once X was asked, the key is free again
// only when it has expired, when X said that it did nothing, or when somebody has
// looked.
func TestNobodyAsksTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &life{now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
		steps := map[string]func(){
			"claim": func() { l.claim(t) },
			"send": func() {
				if l.kept && l.record.State == idempotency.Reserved {
					l.record, l.open = l.record.Send("box", l.now, 3*time.Minute), true
				}
			},
			"answer": func() { l.answer(rapid.SampledFrom([]int{201, 403, 429, 500, 0}).Draw(t, "status")) },
			"look": func() {
				if l.kept && l.record.Standing(l.now) == idempotency.Unknown && !l.now.Before(l.record.Ripe()) {
					l.kept, l.open = false, false // it was not there
				}
			},
			"wait": func() { l.now = l.now.Add(time.Duration(rapid.IntRange(1, 600).Draw(t, "seconds")) * time.Second) },
		}
		for _, name := range rapid.SliceOfN(rapid.SampledFrom([]string{"claim", "send", "answer", "look", "wait"}), 1, 60).Draw(t, "steps") {
			steps[name]()
			if !l.kept {
				continue
			}
			switch standing := l.record.Standing(l.now); {
			case l.open && standing == idempotency.Reserved:
				t.Fatalf("X was asked, and the record says that it was not: %+v", l.record)
			case standing == idempotency.Sent && !l.now.Before(l.record.Lease):
				t.Fatalf("a call without a holder is under way: %+v", l.record)
			case standing == idempotency.Unknown && l.record.Ripe().Before(l.record.Sent.Add(idempotency.Late)):
				t.Fatalf("it is ripe too early: %+v", l.record)
			}
		}
	})
}

func (l *life) claim(t *rapid.T) {
	if l.kept && !l.record.Free(l.now, false) {
		return
	}
	if l.kept && l.open && l.now.Before(l.record.Until) {
		t.Fatalf("X was asked, and the key is free: %+v", l.record)
	}
	l.claims++
	l.record, l.kept, l.open = idempotency.Reserve("s", "a", "f", "createPosts", l.now), true, false
}

func (l *life) answer(status int) {
	if !l.kept || l.record.State != idempotency.Sent {
		return
	}
	switch idempotency.OutcomeOf(status, status != 0) {
	case idempotency.Untried:
		l.kept, l.open = false, false
	case idempotency.Final:
		l.record = l.record.Settle(status, "box", l.now)
	case idempotency.Open:
		l.record = l.record.Lose(status, l.now)
	}
}
