package xsim

import (
	_ "embed"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

//go:embed consent.html
var consentHTML string

var consentPage = template.Must(template.New("consent").Parse(consentHTML))

// A consentAsk is a valid authorization request, and what its page shows.
type consentAsk struct {
	App               App
	Redirect, State   string
	Challenge, Method string
	Scopes            []string
	Words             []scopeWord
	Users             []User
	Hidden            []hiddenField
	Problem           string // set instead of all the rest: what is wrong
	Host              string // where an approval leads
}

type scopeWord struct{ Scope, Means string }

type hiddenField struct{ Name, Value string }

// authorize is x.com's consent page and what its buttons do.
func (s *Sim) authorize(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil || (r.Method != http.MethodGet && r.Method != http.MethodPost) {
		s.showConsent(w, http.StatusBadRequest, consentAsk{Problem: "This is not a request an app would send."})
		return
	}
	ask := s.ask(r.Form)
	if ask.Problem != "" {
		s.showConsent(w, http.StatusBadRequest, ask)
		return
	}
	user, decision := r.PostForm.Get("user"), r.PostForm.Get("decision")
	if r.Method == http.MethodGet {
		user, decision = r.Form.Get("_sim_user"), r.Form.Get("_sim_decision")
		if decision == "" {
			s.showConsent(w, http.StatusOK, ask)
			return
		}
	}
	target, problem := s.decide(ask, user, decision)
	if problem != "" {
		s.showConsent(w, http.StatusBadRequest, consentAsk{Problem: problem})
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, target, http.StatusFound) //nolint:gosec // ask has checked where it leads
}

// decide writes the decision down and says where the browser goes next.
func (s *Sim) decide(ask consentAsk, user, decision string) (target, problem string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	scope := strings.Join(ask.Scopes, " ")
	switch decision {
	case "deny":
		s.note("consent.denied", ask.App.ClientID, user, "", details{"scope": scope})
		return withQuery(ask.Redirect, [2]string{"error", "access_denied"}, [2]string{"state", ask.State}), ""
	case "approve":
	default:
		return "", "The decision must be approve or deny."
	}
	if _, ok := s.people.byID[user]; !ok {
		return "", "There is no such user in the simulator."
	}
	code := mint("code")
	s.oauth.codes[code] = &authCode{
		app: ask.App.ClientID, user: user, redirect: ask.Redirect, scopes: ask.Scopes,
		challenge: ask.Challenge, method: ask.Method, expires: s.now().Add(codeLife),
	}
	s.note("consent.approved", ask.App.ClientID, user, "", details{"scope": scope})
	return withQuery(ask.Redirect, [2]string{"state", ask.State}, [2]string{"code", code}), ""
}

// withQuery adds parameters to a redirect URI, which may already have some.
func withQuery(uri string, pairs ...[2]string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return uri // unreachable: the URI was checked before
	}
	q := u.Query()
	for _, p := range pairs {
		q.Set(p[0], p[1])
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// ask checks an authorization request; what is wrong is in Problem.
func (s *Sim) ask(form url.Values) consentAsk {
	s.mu.Lock()
	app, known := s.oauth.apps[form.Get("client_id")]
	var copied App
	if known {
		copied = *app
	}
	s.mu.Unlock()

	ask := consentAsk{
		App: copied, Redirect: form.Get("redirect_uri"), State: form.Get("state"),
		Challenge: form.Get("code_challenge"), Scopes: strings.Fields(form.Get("scope")), Users: s.Users(),
	}
	switch strings.ToLower(form.Get("code_challenge_method")) {
	case "s256":
		ask.Method = "S256"
	case "plain", "":
		ask.Method = "plain"
	}
	ask.Problem = flaw(ask, known, form.Get("response_type"))
	if u, err := url.Parse(ask.Redirect); err == nil {
		ask.Host = u.Host
	}
	for _, scope := range ask.Scopes {
		ask.Words = append(ask.Words, scopeWord{scope, scopeWords(scope)})
	}
	for _, name := range []string{
		"response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method",
	} {
		ask.Hidden = append(ask.Hidden, hiddenField{name, form.Get(name)})
	}
	return ask
}

// flaw says what is wrong with an authorization request, or "".
func flaw(ask consentAsk, known bool, responseType string) string {
	unknown := slices.IndexFunc(ask.Scopes, func(scope string) bool { return scopeWords(scope) == "" })
	switch {
	case !known:
		return "No app has this client_id."
	case !ask.App.mayReturnTo(ask.Redirect):
		return "The redirect_uri is not one of those the app has registered."
	case responseType != "code":
		return "The response_type must be code."
	case len(ask.Scopes) == 0:
		return "The scope is missing."
	case unknown >= 0:
		return "X has no scope " + ask.Scopes[unknown] + "."
	case ask.State == "" || len(ask.State) > 500:
		return "The state must have 1 to 500 characters."
	case ask.Method == "":
		return "The code_challenge_method must be S256 or plain."
	case ask.Challenge == "":
		return "The code_challenge is missing."
	}
	return ""
}

// mayReturnTo reports whether uri is registered, or any web address if none is.
func (a App) mayReturnTo(uri string) bool {
	if len(a.RedirectURIs) > 0 {
		return slices.Contains(a.RedirectURIs, uri)
	}
	u, err := url.Parse(uri)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.Fragment == ""
}

func (s *Sim) showConsent(w http.ResponseWriter, status int, ask consentAsk) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'")
	w.WriteHeader(status)
	if err := consentPage.Execute(w, ask); err != nil {
		s.log.Debug("the consent page was not read to its end", "error", err)
	}
}
