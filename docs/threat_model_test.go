package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// attacks are the numbers of the lines that docs/threat-model.md has to have.
var attacks = []int{
	1, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 19, 20, 21, 23, 25, 26, 27, 28, 31, 32, 34, 36, 37, 39, 40, 41, 42, 44, 45, 46, 47, 48, 50,
	52, 53, 54, 55, 56, 58, 60, 61, 63, 64, 65, 66, 67,
}

var (
	attackLine = regexp.MustCompile(`(?m)^\| (\d+) \| ([^|]+) \| ([^|]*) \| ([^|]+) \|$`)
	testName   = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	testFunc   = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9_]+)\(`)
)

// TestEveryAttackNamesItsTests reads the map: each line is there once and names
// tests that exist, or says why it has none.
func TestEveryAttackNamesItsTests(t *testing.T) {
	text, err := os.ReadFile("threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	there := testsOfTheTree(t)
	var found []int
	for _, line := range attackLine.FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.Atoi(line[1])
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, n)
		names := testName.FindAllStringSubmatch(line[4], -1)
		for _, name := range names {
			if !there[name[1]] {
				t.Errorf("line %d names %s, which does not exist", n, name[1])
			}
		}
		unfinished := strings.HasPrefix(line[4], "Does not apply yet:") || strings.HasPrefix(line[4], "In part:")
		if len(names) == 0 && !unfinished || strings.TrimSpace(line[3]) == "" && !unfinished {
			t.Errorf("line %d has no test, and says not why", n)
		}
	}
	slices.Sort(found)
	if !slices.Equal(found, attacks) {
		t.Errorf("the lines are\n%v, not\n%v", found, attacks)
	}
	for _, name := range testName.FindAllStringSubmatch(string(text), -1) {
		if !there[name[1]] {
			t.Errorf("the text names %s, which does not exist", name[1])
		}
	}
}

// testsOfTheTree are the names of all tests and fuzz targets.
func testsOfTheTree(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() == "node_modules" {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range testFunc.FindAllStringSubmatch(string(text), -1) {
			all[m[1]] = true
		}
		return err
	})
	if err != nil || len(all) < 100 {
		t.Fatalf("%d tests: %v", len(all), err)
	}
	return all
}
