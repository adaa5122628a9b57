package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"perch/domain/secret"
)

const canary = "canary-5f1c"

type holder struct {
	Public  string
	Secret  secret.Text
	private secret.Text
}

func TestTextIsNeverPrinted(t *testing.T) {
	h := holder{"p", secret.New(canary), secret.New(canary)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
		for _, value := range []any{h.Secret, &h.Secret, h, &h, []secret.Text{h.Secret}, h.private} {
			printed := fmt.Sprintf(verb, value)
			if strings.Contains(printed, canary) || strings.Contains(printed, fmt.Sprintf("%x", canary)) {
				t.Errorf("%s of %T shows the secret: %s", verb, value, printed)
			}
		}
	}
	var out bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(handler).Info("x", "secret", h.Secret, "holder", h, "any", slog.AnyValue(&h))
	}
	b, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	if all := out.String() + string(b); strings.Contains(all, canary) {
		t.Errorf("a log or JSON shows the secret: %s", all)
	}
	if h.Secret.Reveal() != canary {
		t.Error("Reveal does not give the secret back")
	}
}

func TestEmptyAndEqual(t *testing.T) {
	if !(secret.Text{}).Empty() || !secret.New("").Empty() || secret.New("x").Empty() {
		t.Error("Empty is wrong")
	}
	if !secret.New("x").Equal(secret.New("x")) || secret.New("x").Equal(secret.New("y")) {
		t.Error("Equal is wrong")
	}
}

func TestLabelsDoNotRunTogether(t *testing.T) {
	seen := map[string][]string{}
	for _, parts := range [][]string{{"a", "b", "c"}, {"a", "bc"}, {"ab", "c"}, {"abc"}, {"a", "b", "", "c"}, {"a:1", "b"}, {"a", "1:b"}} {
		l := secret.Label(parts[0], parts[1:]...)
		if other, dup := seen[l]; dup {
			t.Errorf("%q and %q have the same label", parts, other)
		}
		seen[l] = parts
	}
}
