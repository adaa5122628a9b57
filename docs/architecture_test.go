package docs_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "perch/"

// A part of the house: where it is, and which of our packages it may import.
// The longest matching prefix decides.
type part struct {
	prefix string
	ours   []string
	not    []string // of everything else
}

// innocent is what the core may not touch: it decides, the edges move bytes.
var innocent = []string{"context", "net", "net/http", "os", "database/sql", "log", "sync", "math/rand"}

var driven = []string{"ports", "domain/"}

var house = []part{
	{"domain/", []string{"domain/"}, innocent},
	{"ports", []string{"domain/"}, []string{"net", "net/http", "os", "database/sql", "log", "log/slog"}},
	{"ports/conformance", []string{"ports", "domain/"}, nil},
	{"ports/conformance/leash", nil, nil},
	{"ports/conformance/pgtest", []string{"ports/conformance", "ports/conformance/leash"}, nil},
	{"ports/conformance/redistest", []string{"ports/conformance", "ports/conformance/leash"}, nil},
	{"ports/conformance/workerd", []string{"ports/conformance"}, nil},
	{"app/", []string{"ports", "domain/"}, []string{"os", "net/http", "database/sql", "log"}},
	{"adapters/httpapi", []string{"app/", "ports", "domain/"}, []string{"database/sql"}},
	{"adapters/memory", driven, nil},
	{"adapters/redis", driven, nil},
	{"adapters/sqlstore", driven, nil},
	{"adapters/cloudflare", driven, nil},
	{"adapters/keyring", driven, nil},
	{"adapters/jws", driven, nil},
	{"adapters/journal", driven, nil},
	{"adapters/telemetry", driven, nil},
	{"adapters/warm", driven, nil},
	{"adapters/xhttp", driven, nil},
	{"adapters/xhttp/xsim", []string{"domain/"}, nil},
	{"migrations", nil, nil},
	{"clients/demo", nil, nil},
	{"cmd/", []string{"cmd/", "app/", "adapters/", "ports", "domain/", "migrations", "docs", "clients/"}, nil},
	{"docs", nil, nil},
}

// only names third-party packages that belong to one part alone.
var only = map[string]string{
	"github.com/gofiber/fiber":          "adapters/httpapi",
	"github.com/valyala/fasthttp":       "adapters/httpapi",
	"github.com/uptrace/bun":            "adapters/sqlstore",
	"modernc.org/sqlite":                "adapters/sqlstore",
	"github.com/jackc/pgx":              "adapters/sqlstore",
	"github.com/redis/go-redis":         "adapters/redis",
	"golang.org/x/oauth2":               "adapters/xhttp",
	"github.com/cenkalti/backoff":       "adapters/xhttp",
	"github.com/sony/gobreaker":         "adapters/xhttp",
	"github.com/tink-crypto/tink-go":    "adapters/keyring",
	"github.com/golang-jwt/jwt":         "adapters/jws",
	"github.com/maypok86/otter":         "adapters/warm",
	"golang.org/x/text":                 "app/replays",
	"github.com/samber/slog-multi":      "adapters/telemetry",
	"github.com/google/wire":            "cmd/internal/wiring",
	"github.com/alecthomas/kong":        "cmd/",
	"github.com/sethvargo/go-limiter":   "adapters/memory",
	"github.com/chromedp/chromedp":      "clients/demo",
	"github.com/anishathalye/porcupine": "ports/conformance",
	"pgregory.net/rapid":                "tests",
	"github.com/Shopify/toxiproxy":      "tests",
	"github.com/rs/zerolog":             "tests",
}

func TestImportsObeyTheArchitecture(t *testing.T) {
	files := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if name == "node_modules" || name == "tools" || (strings.HasPrefix(name, ".") && name != "..") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		files++
		dir, err := filepath.Rel("..", filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, imported := range imports(t, path) {
			if why := verdict(filepath.ToSlash(dir), imported); why != "" {
				t.Errorf("%s imports %q: %s", path, imported, why)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Fatalf("read %d Go files; the test looks in the wrong place", files)
	}
}

func TestPlantedViolationsAreNamed(t *testing.T) {
	for _, v := range []struct{ dir, imported string }{
		{"adapters/memory", "perch/adapters/sqlstore"},
		{"domain/oauth", "perch/ports"},
		{"app/grants", "perch/app/actions"},
		{"app/grants", "perch/adapters/memory"},
		{"domain/client", "net/http"},
		{"adapters/xhttp/xsim", "perch/adapters/xhttp"},
		{"adapters/xhttp/xsim", "perch/ports"},
		{"adapters/sqlstore", "perch/app/grants"},
		{"adapters/telemetry", "github.com/gofiber/fiber/v2"},
		{"cellar", "strings"},
	} {
		if verdict(v.dir, v.imported) == "" {
			t.Errorf("%s may import %s, and must not", v.dir, v.imported)
		}
	}
	for _, v := range []struct{ dir, imported string }{
		{"adapters/sqlstore", "perch/ports"},
		{"app/grants", "perch/domain/oauth"},
		{"adapters/httpapi", "github.com/gofiber/fiber/v2"},
		{"domain/oauth", "time"},
	} {
		if why := verdict(v.dir, v.imported); why != "" {
			t.Errorf("%s may not import %s: %s", v.dir, v.imported, why)
		}
	}
}

func imports(t *testing.T, path string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, spec := range f.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, name)
	}
	return out
}

// verdict says why dir may not import a package, "" if it may.
func verdict(dir, imported string) string {
	for prefix, home := range only {
		if strings.HasPrefix(imported, prefix) && !within(dir, home) {
			return "it belongs to " + home
		}
	}
	p, ok := place(dir)
	if !ok {
		return "this folder is no part of the house; give it a line in docs/architecture_test.go"
	}
	if slices.Contains(p.not, imported) {
		return p.prefix + " does without it"
	}
	ours, ok := strings.CutPrefix(imported, module)
	if !ok || ours == dir {
		return ""
	}
	for _, allowed := range p.ours {
		if within(ours, allowed) && (p.prefix != "app/" || !strings.HasPrefix(ours, "app/")) {
			return ""
		}
	}
	return p.prefix + " may import only " + strings.Join(p.ours, ", ")
}

func place(dir string) (part, bool) {
	var best part
	for _, p := range house {
		if within(dir, p.prefix) && len(p.prefix) > len(best.prefix) {
			best = p
		}
	}
	return best, best.prefix != ""
}

// within reports whether dir is prefix, or below it where prefix ends in a
// slash. Adapters and ports are single packages: what lies below has a line of its own.
func within(dir, prefix string) bool {
	if strings.HasSuffix(prefix, "/") {
		return strings.HasPrefix(dir, prefix)
	}
	return dir == prefix
}
