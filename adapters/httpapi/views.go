package httpapi

import (
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/xapp"
)

const (
	maxID        = 200
	maxPage      = 200
	usualPage    = 50
	notJSON      = "the body is not the JSON this operation takes"
	unknownField = "json: unknown field "
)

type userView struct {
	ID       string `json:"id"`
	Username string `json:"username"`
	Name     string `json:"name"`
}

type grantView struct {
	ID        string     `json:"id"`
	AppID     string     `json:"app_id"`
	XApp      string     `json:"x_app"`
	User      userView   `json:"user"`
	Scopes    []string   `json:"scopes"`
	State     string     `json:"state"`
	ExpiresAt *time.Time `json:"expires_at"`
	CreatedAt *time.Time `json:"created_at"`
	UpdatedAt *time.Time `json:"updated_at"`
}

func viewGrant(g oauth.Grant) grantView {
	return grantView{
		ID: string(g.ID), AppID: string(g.App), XApp: string(g.XApp),
		User:   userView{string(g.User.ID), g.User.Username, g.User.Name},
		Scopes: texts(g.Scopes.List()), State: string(g.State),
		ExpiresAt: instant(g.Expires), CreatedAt: instant(g.Created), UpdatedAt: instant(g.Updated),
	}
}

type appView struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	XApp         string   `json:"x_app"`
	Status       string   `json:"status"`
	Origins      []string `json:"origins"`
	RedirectURIs []string `json:"redirect_uris"`
	Actions      []string `json:"actions"`
	Scopes       []string `json:"scopes"`
	Cookies      bool     `json:"cookies"`
	DPoP         bool     `json:"dpop"`
	Limits       []string `json:"limits"`
	budgetsView
	CreatedAt *time.Time `json:"created_at"`
}

func viewApp(a client.App) appView {
	return appView{
		ID: string(a.ID), Name: a.Name, XApp: string(a.XApp), Status: string(a.Status),
		Origins: texts(a.Origins), RedirectURIs: texts(a.RedirectURIs),
		Actions: texts(a.Actions), Scopes: texts(a.Scopes), Cookies: a.Cookies, DPoP: a.DPoP,
		Limits: texts(a.Limits), budgetsView: viewBudgets(a), CreatedAt: instant(a.Created),
	}
}

type xappView struct {
	ID              string     `json:"id"`
	Name            string     `json:"name"`
	ClientID        string     `json:"client_id"`
	HasClientSecret bool       `json:"has_client_secret"`
	HasBearer       bool       `json:"has_bearer"`
	HasAPIKey       bool       `json:"has_api_key"`
	CreatedAt       *time.Time `json:"created_at"`
	From            string     `json:"from"` // settings or store
}

func viewXApp(x xapp.App) xappView {
	return xappView{
		ID: string(x.ID), Name: x.Name, ClientID: x.ClientID, HasClientSecret: !x.ClientSecret.Empty(),
		HasBearer: !x.Bearer.Empty(), HasAPIKey: x.APIKey != "", CreatedAt: instant(x.Created), From: "store",
	}
}

// instant is null in JSON for a time that is not set.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// texts is never null in JSON.
func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

// A page is one piece of a list.
type page[V any] struct {
	Data []V    `json:"data"`
	Next string `json:"next,omitempty"` // what after must be to get the next piece
}

// pageOf makes a page of at most n things. One more than n says that there is a
// next page.
func pageOf[T, V any](all []T, n int, view func(T) V, id func(T) string) page[V] {
	p := page[V]{Data: []V{}}
	if len(all) > n {
		all = all[:n]
		p.Next = id(all[n-1])
	}
	for _, one := range all {
		p.Data = append(p.Data, view(one))
	}
	return p
}

// paging reads after and limit; others lists what else the query may hold.
func (r *request) paging(others ...string) (q url.Values, after string, n int, err error) {
	q, err = r.params(append(others, "after", "limit")...)
	if err != nil {
		return nil, "", 0, err
	}
	n = usualPage
	if text := q.Get("limit"); text != "" {
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > maxPage {
			return nil, "", 0, fault.New(fault.Invalid, "limit must be a number from 1 to %d", maxPage)
		}
	}
	return q, q.Get("after"), n, nil
}

// params reads the query. Only the names given may be in it, each once.
func (r *request) params(names ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.query)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the query is not well-formed; percent-encode its names and values")
	}
	for name, values := range q {
		if !contains(names, name) {
			return nil, fault.New(fault.Invalid, "the query parameter %q is unknown here", clip(name, 40))
		}
		if len(values) > 1 || len(values[0]) > maxID {
			return nil, fault.New(fault.Invalid, "the query parameter %q comes twice or is too long", name)
		}
	}
	return q, nil
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// param returns the decoded path parameter.
func (r *request) param(name string) string {
	v, err := url.PathUnescape(strings.Clone(r.c.Params(name)))
	if err != nil || len(v) > maxID {
		return "" // no ID is empty, so nothing is found
	}
	return v
}

// decode reads a JSON object into v, whose fields are all there may be.
func (r *request) decode(v any) error {
	mediaType, _, _ := strings.Cut(r.header("Content-Type"), ";")
	if r.body != nil && !strings.EqualFold(strings.TrimSpace(mediaType), plainJSON) {
		return fault.New(fault.Invalid, "send the body as Content-Type: application/json")
	}
	b, err := r.readAll()
	if err != nil {
		return err
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return badJSON(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "%s: something follows the object", notJSON)
	}
	return nil
}

func badJSON(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		name := wrong.Field[strings.LastIndexByte(wrong.Field, '.')+1:] // in front may stand the name of a type
		return fault.New(fault.Invalid, "the field %q must be %s, not a %s",
			name, writing[wrong.Type.Kind()], wrong.Value).With("field", name)
	}
	if _, ok := errors.AsType[*time.ParseError](err); ok || strings.HasPrefix(err.Error(), "Time.UnmarshalJSON") {
		return fault.New(fault.Invalid, "expires_at is not a time; write it as 2026-01-02T03:04:05Z").
			With("field", "expires_at") // the one time there is in a body
	}
	if name, ok := strings.CutPrefix(err.Error(), unknownField); ok {
		name = clip(strings.Trim(name, `"`), 80)
		return fault.New(fault.Invalid, "the field %q is unknown here", name).With("field", name)
	}
	return fault.New(fault.Invalid, "%s", notJSON)
}

// writing is how the types that bodies have are written in JSON.
var writing = map[reflect.Kind]string{
	reflect.String: "text in quotes", reflect.Bool: "true or false",
	reflect.Slice: "a list in brackets", reflect.Int64: "a whole number",
}
