package keyring

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"perch/domain/fault"
)

// packed is a parcel of n records and its sum.
func packed(t *testing.T, to Recipient, n int) (text []byte, sum string) {
	t.Helper()
	var out bytes.Buffer
	p, err := Pack(&out, to)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := p.Put("grant", fmt.Appendf(nil, "CANARY-%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if sum, err = p.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), sum
}

// unpacked reads a parcel to its end, or to what is wrong with it.
func unpacked(text []byte, key RecipientKey) (records []string, sum string, err error) {
	u, err := Unpack(bytes.NewReader(text), key)
	if err != nil {
		return nil, "", err
	}
	for {
		kind, record, err := u.Next()
		if errors.Is(err, io.EOF) {
			return records, u.Sum(), nil
		}
		if err != nil {
			return records, u.Sum(), err
		}
		records = append(records, kind+" "+string(record))
	}
}

func TestWhatIsPackedComesOut(t *testing.T) {
	to, key, _ := pair(t)
	text, sum := packed(t, to, 3)
	got, read, err := unpacked(text, key)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"grant CANARY-0", "grant CANARY-1", "grant CANARY-2"}, got); diff != "" {
		t.Error(diff)
	}
	if whole := sha256.Sum256(text); hex.EncodeToString(whole[:]) != sum || read != sum {
		t.Errorf("the parcel's sum is %x; written %s, read %s", whole, sum, read)
	}
	if bytes.Contains(text, []byte("CANARY")) {
		t.Error("a record can be read")
	}
	if got, _, err := unpacked(second(packed(t, to, 0)), key); err != nil || len(got) != 0 {
		t.Errorf("an empty parcel: %q, %v", got, err)
	}
}

func second(text []byte, _ string) []byte { return text }

// Whatever is done to a parcel, nothing that is not genuine comes out, and it
// does not end as a whole one.
func TestADamagedParcelIsRefused(t *testing.T) {
	to, key, _ := pair(t)
	text, _ := packed(t, to, 5)
	other, _ := packed(t, to, 5)
	lines := bytes.SplitAfter(text, []byte("\n"))
	lines = lines[:len(lines)-1]
	with := func(edit func(lines [][]byte) [][]byte) []byte {
		return slices.Concat(edit(slices.Clone(lines))...)
	}
	for name, damaged := range map[string][]byte{
		"empty":                 {},
		"without a end":         slices.Concat(lines[:len(lines)-1]...),
		"cut in a line":         text[:len(text)-1],
		"dropped":               with(func(l [][]byte) [][]byte { return slices.Delete(l, 3, 4) }),
		"the first one dropped": with(func(l [][]byte) [][]byte { return slices.Delete(l, 1, 2) }),
		"the last one dropped":  with(func(l [][]byte) [][]byte { return slices.Delete(l, 5, 6) }),
		"moved":                 with(func(l [][]byte) [][]byte { l[2], l[3] = l[3], l[2]; return l }),
		"repeated":              with(func(l [][]byte) [][]byte { return slices.Insert(l, 3, l[2]) }),
		"of another parcel": with(func(l [][]byte) [][]byte {
			l[2] = bytes.SplitAfter(other, []byte("\n"))[2]
			return l
		}),
		"under the head of another": with(func(l [][]byte) [][]byte {
			l[0] = bytes.SplitAfter(other, []byte("\n"))[0]
			return l
		}),
		"of another kind": with(func(l [][]byte) [][]byte {
			l[2] = bytes.Replace(l[2], []byte("grant"), []byte("xapp"), 1)
			return l
		}),
		"an end too early":     with(func(l [][]byte) [][]byte { return slices.Insert(l, 3, l[6]) }),
		"followed by a line":   append(slices.Clone(text), "grant x\n"...),
		"followed by itself":   append(slices.Clone(text), text...),
		"with a blank line":    with(func(l [][]byte) [][]byte { return slices.Insert(l, 2, []byte("\n")) }),
		"with ends of Windows": bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")),
		"with an endless line": append(slices.Clone(lines[0]), bytes.Repeat([]byte("x"), 2*maxParcelLine)...),
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := unpacked(damaged, key)
			if !errors.Is(err, fault.Invalid) || strings.Contains(err.Error(), "CANARY") {
				t.Errorf("got %v", err)
			}
			for i, record := range got {
				if record != fmt.Sprintf("grant CANARY-%d", i) {
					t.Errorf("record %d came out as %q", i, record)
				}
			}
		})
	}
}

func TestEachFlippedBitIsSeen(t *testing.T) {
	to, key, _ := pair(t)
	text, _ := packed(t, to, 2)
	for i := range text {
		flipped := slices.Clone(text)
		flipped[i] ^= 1 << (i % 8)
		if _, _, err := unpacked(flipped, key); !errors.Is(err, fault.Invalid) {
			t.Fatalf("byte %d of %d flipped: got %v", i, len(text), err)
		}
	}
	for cut := range text {
		if _, _, err := unpacked(text[:cut], key); !errors.Is(err, fault.Invalid) {
			t.Fatalf("cut after %d of %d bytes: got %v", cut, len(text), err)
		}
	}
}

func TestOnlyTheRecipientReads(t *testing.T) {
	to, key, _ := pair(t)
	_, stranger, _ := pair(t)
	text, _ := packed(t, to, 1)
	_, _, err := unpacked(text, stranger)
	if err == nil || !strings.Contains(err.Error(), to.ID) || !strings.Contains(err.Error(), stranger.ID) {
		t.Errorf("another key: %v", err)
	}
	// One that says it is for the stranger is not.
	readdressed := bytes.Replace(text, []byte(to.ID), []byte(stranger.ID), 1)
	for _, k := range []RecipientKey{key, stranger} {
		if got, _, err := unpacked(readdressed, k); !errors.Is(err, fault.Invalid) || len(got) != 0 {
			t.Errorf("a parcel with another address: %q, %v", got, err)
		}
	}
}

func TestAParcelThatCannotBeWritten(t *testing.T) {
	to, _, _ := pair(t)
	p, err := Pack(full{}, to)
	if err == nil {
		_, err = p.Close()
	}
	if !errors.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	if p, err = Pack(io.Discard, to); err != nil {
		t.Fatal(err)
	}
	if err := p.Put("grant", make([]byte, maxParcelLine)); !errors.Is(err, fault.TooLarge) {
		t.Errorf("an endless record: %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }
