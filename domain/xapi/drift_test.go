package xapi_test

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"perch/domain/xapi"
)

// described is the part of X's OpenAPI description that the catalogue repeats.
type described struct {
	Info  struct{ Version string }
	Paths map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Tags        []string
		Security    []map[string][]string
		RequestBody struct {
			Content map[string]json.RawMessage
		} `json:"requestBody"`
		Responses map[string]struct {
			Content map[string]json.RawMessage
		}
		Streaming *bool `json:"x-twitter-streaming"`
	}
}

// TestNoDriftFromXsDescription compares the catalogue with X's published
// OpenAPI description, the file named by X_OPENAPI.
func TestNoDriftFromXsDescription(t *testing.T) {
	name := os.Getenv("X_OPENAPI")
	if name == "" {
		t.Log("X_OPENAPI names no file: the catalogue was NOT compared with X's description")
		return
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var d described
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for path, methods := range d.Paths {
		for method, op := range methods {
			if op.OperationID == "" {
				continue
			}
			seen++
			a, ok := xapi.ByID(op.OperationID)
			if !ok || a.Path != path || a.Method != strings.ToUpper(method) {
				t.Errorf("X has %s %s (%s), the catalogue %q %q", method, path, op.OperationID, a.Method, a.Path)
				continue
			}
			if auth, scopes := security(op.Security); auth != a.Auth || !slices.Equal(scopes, a.Needs()) {
				t.Errorf("%s: X accepts %b with %v, the catalogue says %b with %v", a.ID, auth, scopes, a.Auth, a.Needs())
			}
			if body := body(op.RequestBody.Content); body != a.Body {
				t.Errorf("%s: X takes body %d, the catalogue says %d", a.ID, body, a.Body)
			}
			if _, ok := op.Responses[strconv.Itoa(a.Status())]; !ok {
				t.Errorf("%s: X does not answer %d", a.ID, a.Status())
			}
			if _, binary := op.Responses["200"].Content["application/octet-stream"]; binary != a.Binary {
				t.Errorf("%s: binary is %v at X", a.ID, binary)
			}
			if streaming := op.Streaming != nil && *op.Streaming; streaming != a.Stream {
				t.Errorf("%s: streaming is %v at X", a.ID, streaming)
			}
			if len(op.Tags) == 0 || op.Tags[0] != a.Tag {
				t.Errorf("%s: X's tags are %v, ours is %s", a.ID, op.Tags, a.Tag)
			}
		}
	}
	if want := len(xapi.All()); seen != want {
		t.Errorf("X describes %d operations, the catalogue has %d", seen, want)
	}
	t.Logf("compared with X's description %s: %d operations", d.Info.Version, seen)
}

func security(s []map[string][]string) (auth xapi.Auth, scopes []string) {
	for _, alternative := range s {
		for kind, needs := range alternative {
			switch kind {
			case "BearerToken":
				auth |= xapi.AppOnly
			case "OAuth2UserToken":
				auth |= xapi.User
				scopes = append(scopes, needs...)
			case "UserToken":
				auth |= xapi.OAuth1
			}
		}
	}
	slices.Sort(scopes)
	return auth, scopes
}

func body(content map[string]json.RawMessage) xapi.Body {
	_, multipart := content["multipart/form-data"]
	switch {
	case multipart:
		return xapi.Upload
	case len(content) > 0:
		return xapi.JSON
	}
	return xapi.NoBody
}
