package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestOneOfManyWritesAFileWhole(t *testing.T) {
	dir := t.TempDir()
	path, text := filepath.Join(dir, "token"), strings.Repeat("x", 1<<16)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			errs[i] = writeNew(path, text)
			if got, err := os.ReadFile(path); err != nil || string(got) != text {
				t.Errorf("once it is there it is not whole: %d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	made := 0
	for _, err := range errs {
		switch {
		case err == nil:
			made++
		case !errors.Is(err, fs.ErrExist):
			t.Error(err)
		}
	}
	if info, err := os.Stat(path); made != 1 || err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%d were made; %v, %v", made, info, err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

func TestTwoFirstStartsAtOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	var runs [2]*ran
	var stops [2]func()
	for i := range runs {
		runs[i], stops[i] = started(t, quiet("PERCH_STORE=memory:"), "serve")
	}
	made := 0
	for i, r := range runs {
		eventually(t, "the start is told", func() bool { return strings.Contains(r.err.String(), "callback URL") })
		server := []string{"PERCH_ADMIN_URL=" + between(r.err.String(), "operators on ", ".\n")}
		perch(t, server, "", "apps", "list").says(t, exitDone)
		stops[i]()
		made += strings.Count(r.err.String(), "Made the founding token")
	}
	if made != 1 {
		t.Errorf("the token was made %d times", made)
	}
}

func TestWhoseTokenWins(t *testing.T) {
	d := newDesk(t)
	d.answers["GET /admin/v1/apps?limit=200"] = `{"data":[]}`
	t.Chdir(t.TempDir())
	if err := os.WriteFile("good", []byte(deskToken+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("empty", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	server := []string{"PERCH_ADMIN_URL=" + d.URL}
	wrong := append(server, "PERCH_ADMIN_TOKEN=wrong")
	perch(t, wrong, "", "apps", "list", "--admin-token-file=good").says(t, exitDone)
	perch(t, append(wrong, "PERCH_ADMIN_TOKEN_FILE=empty"), "", "apps", "list", "--admin-token-file=good").says(t, exitDone)
	perch(t, wrong, "", "apps", "list", "--admin-token="+deskToken).says(t, exitDone)
	perch(t, wrong, "", "apps", "list").says(t, exitFailed, d.URL+" was asked")
	perch(t, server, "", "apps", "list", "--admin-token=a", "--admin-token-file=good").says(t, exitMisuse, "keep one")
	perch(t, server, "", "apps", "list", "--admin-token-file=empty").
		says(t, exitMisuse, "PERCH_ADMIN_TOKEN_FILE names empty, which is empty")
}

func TestATokenFileThatOthersCanReadIsWarnedOf(t *testing.T) {
	d := newDesk(t)
	d.answers["GET /admin/v1/apps?limit=200"] = `{"data":[]}`
	t.Chdir(t.TempDir())
	for file, mode := range map[string]os.FileMode{"mine": 0o600, "ours": 0o640, "all": 0o644, "perch.admin-token": 0o604} {
		if err := os.WriteFile(file, []byte(deskToken+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		args := []string{"apps", "list"}
		if file != "perch.admin-token" {
			args = append(args, "--admin-token-file="+file)
		}
		r := perch(t, []string{"PERCH_ADMIN_URL=" + d.URL}, "", args...)
		r.says(t, exitDone)
		warned := strings.Contains(r.err.String(), "can be read by others") && strings.Contains(r.err.String(), "chmod 600 ")
		if warned != (mode&0o077 != 0) {
			t.Errorf("%s with mode %04o: it says %q", file, mode, &r.err)
		}
	}
}

func TestTheServerFollowsTheOperatorsListener(t *testing.T) {
	d := newDesk(t)
	d.answers["GET /admin/v1/apps?limit=200"] = `{"data":[]}`
	host, port, _ := strings.Cut(strings.TrimPrefix(d.URL, "http://"), ":")
	for _, at := range []string{host + ":" + port, "0.0.0.0:" + port, ":" + port} {
		perch(t, []string{"PERCH_ADMIN_LISTEN=" + at, "PERCH_ADMIN_TOKEN=" + deskToken}, "", "apps", "list").says(t, exitDone)
	}
	perch(t, append(d.environ(), "PERCH_ADMIN_LISTEN=127.0.0.1:1"), "", "apps", "list").says(t, exitDone)
	for _, at := range []string{"off", "127.0.0.1:0"} {
		perch(t, []string{"PERCH_ADMIN_LISTEN=" + at, "PERCH_ADMIN_TOKEN=t"}, "", "apps", "list").
			says(t, exitMisuse, "PERCH_ADMIN_LISTEN ("+at+")", "--server")
	}
}
