package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	operator1 = `{"id":"operator_1","name":"Zoë","role":"viewer","hint":"op_ABC…WXYZ","created_at":"2026-01-02T03:04:05Z","expires_at":null,"revoked_at":null,"last_used_at":"2026-01-03T03:04:05Z"}`
	operator2 = `{"id":"operator_2","name":"Max","role":"owner","hint":"op_DEF…WXYZ","created_at":"2026-01-02T03:04:05Z","expires_at":"2026-01-03T00:00:00Z","revoked_at":null,"last_used_at":null,"token":"op_SHOWNONCE"}`
)

func TestVerbsForOperators(t *testing.T) {
	for _, c := range []struct {
		args, asked, answer string
		say                 []string
	}{
		{"operators add Zoë --role=viewer", `POST /admin/v1/operators {"name":"Zoë","role":"viewer"}`, operator2,
			[]string{"op_SHOWNONCE", "cannot be shown again"}},
		{"operators list", "GET /admin/v1/operators?limit=200", `{"data":[` + operator1 + "," + operator2 + `]}`, []string{
			"ID          NAME  ROLE    TOKEN        STATE    CREATED               EXPIRES               LAST USED\n",
			"operator_1  Zoë   viewer  op_ABC…WXYZ  good     2026-01-02 03:04 UTC  -                     2026-01-03 03:04 UTC\n",
			"operator_2  Max   owner   op_DEF…WXYZ  expired  2026-01-02 03:04 UTC  2026-01-03 00:00 UTC  -\n",
		}},
		{"operators list --json", "GET /admin/v1/operators?limit=200", `{"data":[` + operator1 + `]}`, []string{`"last_used_at": "2026`}},
		{"operators change operator_1 --role=owner --expires=never",
			`PATCH /admin/v1/operators/operator_1 {"expires_at":null,"role":"owner"}`, operator1, []string{"op_ABC…WXYZ"}},
		{"operators rotate operator_1", `POST /admin/v1/operators/operator_1/rotate {"overlap_seconds":3600}`, operator2, []string{"op_SHOWNONCE"}},
		{"operators rotate operator_1 --overlap=0s", `POST /admin/v1/operators/operator_1/rotate {"overlap_seconds":0}`, operator2, nil},
		{"operators revoke operator_1", "DELETE /admin/v1/operators/operator_1", "", []string{"revoked operator_1"}},
		{"operators whoami", "GET /admin/v1/operators/me", operator1, []string{"Zoë", "viewer", "good"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			d := newDesk(t)
			method, rest, _ := strings.Cut(c.asked, " ")
			path, _, _ := strings.Cut(rest, " ")
			d.answers[method+" "+path] = c.answer
			perch(t, d.environ(), "", strings.Fields(c.args)...).says(t, exitDone, c.say...)
			if diff := cmp.Diff([]string{c.asked}, d.asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnEmptyListSaysSoAndStaysJSONForPrograms(t *testing.T) {
	for args, path := range map[string]string{
		"apps list": "/admin/v1/apps", "xapps list": "/admin/v1/xapps", "operators list": "/admin/v1/operators",
		"grants list": "/admin/v1/grants", "keys list --app=a": "/admin/v1/apps/a/keys",
	} {
		d := newDesk(t)
		d.answers["GET "+path+"?limit=200"] = `{"data":[]}`
		r := perch(t, d.environ(), "", strings.Fields(args)...)
		if said := r.out.String(); r.code != exitDone || strings.Count(said, "\n") != 1 || !strings.HasSuffix(said, ".\n") || !strings.Contains(said, "perch ") {
			t.Errorf("%s: %q", args, said)
		}
		if r := perch(t, d.environ(), "", strings.Fields(args+" --json")...); r.out.String() != "[]\n" {
			t.Errorf("%s --json: %q", args, r.out.String())
		}
	}
}

func TestAnOperatorsDayFromTheFoundingTokenOn(t *testing.T) {
	t.Chdir(t.TempDir())
	serve := func(more ...string) (environ []string, stop func()) {
		r, stop := started(t, quiet(more...), "serve")
		eventually(t, "the start is told", func() bool { return strings.Contains(r.err.String(), "callback URL") })
		return []string{"PERCH_ADMIN_URL=" + between(r.err.String(), "operators on ", ".\n")}, stop
	}
	root, stop := serve()
	token := func(role string) string {
		r := perch(t, root, "", "operators", "add", "Zoë", "--role", role, "--json")
		var made person
		if err := json.Unmarshal([]byte(r.out.String()), &made); err != nil || made.Token == "" {
			t.Fatalf("%v: %s%s", err, r.out.String(), r.err.String())
		}
		file := role + ".token"
		if err := os.WriteFile(file, []byte(made.Token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	owner, viewer := token("owner"), token("viewer")
	perch(t, root, "", "operators", "whoami").says(t, exitDone, "root", "the founding token")
	perch(t, root, "", "--admin-token-file", viewer, "apps", "list").says(t, exitDone, "There are no client applications")
	perch(t, root, "", "apps", "add", "One", "--admin-token-file", viewer).
		says(t, exitFailed, "this takes the role operator, and yours is viewer", "(status 403)")
	perch(t, root, "", "operators", "list", "--admin-token-file", viewer).says(t, exitDone, "viewer", "owner", "op_")
	stop()

	off, stop := serve("PERCH_ADMIN_TOKEN=off")
	defer stop()
	perch(t, off, "", "apps", "list").says(t, exitFailed, "no operator's token", "(status 401)")
	perch(t, append(off, "PERCH_ADMIN_TOKEN=off"), "", "apps", "list").
		says(t, exitMisuse, "PERCH_ADMIN_TOKEN is off", "--admin-token-file")
	perch(t, append(off, "PERCH_ADMIN_TOKEN=off"), "", "apps", "add", "One", "--admin-token-file", owner).says(t, exitDone, "app_")
	who := perch(t, off, "", "operators", "whoami", "--admin-token-file", owner, "--json")
	id := between(who.out.String(), `"id": "`, `"`)
	perch(t, off, "", "operators", "revoke", id, "--admin-token-file", owner).
		says(t, exitFailed, "nobody could manage this Perch in the end", "(status 409)")
}

func TestServeWithoutAWayInSaysHowToMakeOne(t *testing.T) {
	t.Chdir(t.TempDir())
	perch(t, quiet("PERCH_STORE=memory:", "PERCH_ADMIN_TOKEN=off"), "", "serve").
		says(t, exitFailed, "there is no good owner", "perch operators add NAME --role owner")
	if files, err := os.ReadDir("."); err != nil || len(files) > 0 {
		t.Errorf("it left %v behind, %v", files, err)
	}
}

func TestTheDoctorSpeaksToPrograms(t *testing.T) {
	t.Chdir(t.TempDir())
	x := box(t, 0, "http://127.0.0.1:8080/oauth/callback")
	for _, c := range []struct {
		environ []string
		args    string
		code    int
		verdict string
	}{
		{boxed(x, x, "PERCH_LOG_LEVEL=debug"), "doctor --json", exitDone, "warn"},
		{boxed(x, x, "PERCH_LOG_LEVEL=loud"), "--json doctor", exitFailed, "fail"},
	} {
		r := perch(t, c.environ, "", strings.Fields(c.args)...)
		var got struct {
			Settings []struct{ Variable, Value string }
			Findings []struct{ Verdict, About, Say string }
		}
		if err := json.Unmarshal([]byte(r.out.String()), &got); err != nil || r.code != c.code {
			t.Fatalf("%v, exit code %d: %s", err, r.code, r.out.String())
		}
		verdicts := map[string]bool{}
		for _, f := range got.Findings {
			verdicts[f.Verdict] = true
			if f.About == "" || f.Say == "" {
				t.Errorf("%+v", f)
			}
		}
		if !verdicts["ok"] || verdicts["fail"] != (c.verdict == "fail") || len(got.Settings) < 20 || got.Settings[0].Variable != "PERCH_LISTEN" {
			t.Errorf("%v of %d settings", verdicts, len(got.Settings))
		}
	}
}

func TestCertificatesAreVerifiedByTheAuthorityNamed(t *testing.T) {
	d := newDesk(t)
	d.answers["GET /admin/v1/apps?limit=200"] = `{"data":[]}`
	tls := httptest.NewTLSServer(d.Config.Handler)
	defer tls.Close()
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw}))
	other := write("other.pem", []byte("nothing"))
	environ := []string{"PERCH_ADMIN_TOKEN=" + deskToken}
	port := tls.URL[strings.LastIndexByte(tls.URL, ':'):]
	for args, want := range map[string]struct {
		code int
		say  string
	}{
		"--server " + tls.URL:                                            {exitFailed, "name its authority with --ca-file"},
		"--server " + tls.URL + " --ca-file " + ca:                       {exitDone, ""},
		"--server " + tls.URL + " --ca-file " + other:                    {exitMisuse, "PERCH_ADMIN_CA_FILE names " + other + ", which holds no certificate"},
		"--server " + tls.URL + " --ca-file " + dir + "/none":            {exitMisuse, "PERCH_ADMIN_CA_FILE cannot be read"},
		"--server https://localhost" + port + " --ca-file " + ca:         {exitFailed, "its certificate is not for localhost"},
		"--server " + strings.Replace(d.URL, "http:", "https:", 1) + " ": {exitFailed, "it does not speak TLS; write http://"},
	} {
		perch(t, environ, "", strings.Fields(args+" apps list")...).says(t, want.code, want.say)
	}
	own := append(environ, "PERCH_ADMIN_LISTEN=127.0.0.1"+port, "PERCH_TLS_CERT_FILE="+ca)
	perch(t, own, "", "apps", "list").says(t, exitDone)
	perch(t, append(own, "PERCH_ADMIN_CA_FILE="+ca), "", "apps", "list").says(t, exitDone)
}

func TestTheTokenTravelsInTheOpenToThisMachineAloneUnlessSaid(t *testing.T) {
	d := newDesk(t)
	d.answers["GET /admin/v1/apps?limit=200"] = `{"data":[]}`
	port := d.URL[strings.LastIndexByte(d.URL, ':'):]
	token := "PERCH_ADMIN_TOKEN=" + deskToken
	const refused = "would travel to perch.invalid:8081 in the open; use https://, or say --insecure-http " +
		"(PERCH_ADMIN_INSECURE_HTTP=true) if nobody else can read what is on the way; perch apps list --help shows how"
	for args, want := range map[string]struct {
		code int
		say  string
	}{
		"--server http://perch.invalid:8081":             {exitMisuse, refused},
		"--server http://127.0.0.1.invalid:8081":         {exitMisuse, "in the open"},
		"--server http://192.0.2.1:8081":                 {exitMisuse, "in the open"},
		"--server http://[2001:db8::1]:8081":             {exitMisuse, "in the open"},
		"--server http://0.0.0.0" + port:                 {exitMisuse, "in the open"},
		"--server https://0.0.0.0:1":                     {exitFailed, "nothing listens there"},
		"--insecure-http --server http://0.0.0.0" + port: {exitDone, ""},
		"--server http://127.0.0.1" + port:               {exitDone, ""},
		"--server http://127.7.0.1:1":                    {exitFailed, "nothing listens there"},
		"--server http://[::1]:1":                        {exitFailed, "no Perch answers"},
		"--server http://[::ffff:127.0.0.1]" + port:      {exitDone, ""},
		"--server http://localhost" + port:               {exitDone, ""},
	} {
		perch(t, []string{token}, "", strings.Fields(args+" apps list")...).says(t, want.code, want.say)
	}
	far := []string{token, "PERCH_ADMIN_URL=http://0.0.0.0" + port}
	perch(t, far, "", "apps", "list").says(t, exitMisuse, "in the open")
	perch(t, append(far, "PERCH_ADMIN_INSECURE_HTTP=true"), "", "apps", "list").says(t, exitDone)
	perch(t, []string{token, "PERCH_ADMIN_LISTEN=192.0.2.1:8081"}, "", "apps", "list").says(t, exitMisuse, "in the open")
}

func TestADerivedAddressNeedsADoor(t *testing.T) {
	perch(t, []string{"PERCH_ADMIN_LISTEN=off", "PERCH_ADMIN_TOKEN=t"}, "", "apps", "list").
		says(t, exitMisuse, "gives operators no way into this Perch; set it to an address, as 127.0.0.1:8081")
}

func TestStatesOfOperators(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	later, before := now.Add(time.Hour), now.Add(-time.Hour)
	for want, o := range map[string]person{
		"good": {ExpiresAt: &later}, "expired": {ExpiresAt: &now}, "revoked": {RevokedAt: &before, ExpiresAt: &before},
	} {
		if got := o.state(now); got != want {
			t.Errorf("%s is %s", fmt.Sprint(o), got)
		}
	}
}
