package moving

import (
	"bytes"
	"encoding/json"
	"time"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/money"
	"perch/domain/oauth"
	"perch/domain/user"
	"perch/domain/xapp"
)

// The kinds of record, in the order in which they are needed.
const (
	KindSource = "source"
	KindXApp   = "xapp"
	KindApp    = "app"
	KindKey    = "key"
	KindGrant  = "grant"
)

// Records are JSON. Their names are a form that other versions of Perch read:
// a member may be added, and none may change its meaning.
type (
	sourceRecord struct {
		Peppers []string `json:"peppers"`
	}
	xappRecord struct {
		ID           string    `json:"id"`
		Name         string    `json:"name"`
		ClientID     string    `json:"client_id"`
		ClientSecret string    `json:"client_secret,omitempty"`
		Bearer       string    `json:"bearer,omitempty"`
		APIKey       string    `json:"api_key,omitempty"`
		APISecret    string    `json:"api_secret,omitempty"`
		Created      time.Time `json:"created,omitzero"`
	}
	appRecord struct {
		ID           string          `json:"id"`
		Name         string          `json:"name"`
		XApp         string          `json:"x_app"`
		Status       string          `json:"status"`
		Origins      []client.Origin `json:"origins"`
		RedirectURIs []string        `json:"redirect_uris"`
		Actions      []string        `json:"actions"`
		Scopes       []string        `json:"scopes"`
		Cookies      bool            `json:"cookies,omitempty"`
		DPoP         bool            `json:"dpop,omitempty"`
		Limits       []string        `json:"limits,omitempty"`
		Budget       budgetRecord    `json:"budget,omitzero"`
		GrantBudget  budgetRecord    `json:"grant_budget,omitzero"`
		Created      time.Time       `json:"created,omitzero"`
	}
	budgetRecord struct { // in millionths of a US dollar
		Day   money.Micros `json:"day,omitempty"`
		Month money.Micros `json:"month,omitempty"`
	}
	keyRecord struct {
		ID        string          `json:"id"`
		App       string          `json:"app"`
		Kind      string          `json:"kind"`
		Name      string          `json:"name,omitempty"`
		Hint      string          `json:"hint"`
		Digest    string          `json:"digest"`
		Grant     oauth.GrantID   `json:"grant,omitempty"` // where it is one, as versions that know of one alone wrote it
		Grants    []oauth.GrantID `json:"grants,omitempty"`
		Actions   []string        `json:"actions,omitempty"`
		Addresses []string        `json:"addresses,omitempty"`
		AppOnly   bool            `json:"app_only,omitempty"`
		Batch     bool            `json:"batch,omitempty"`
		Created   time.Time       `json:"created,omitzero"`
		Expires   time.Time       `json:"expires,omitzero"`
		Revoked   time.Time       `json:"revoked,omitzero"`
	}
	grantRecord struct {
		ID         string    `json:"id"`
		App        string    `json:"app"`
		XApp       string    `json:"x_app"`
		User       string    `json:"user"`
		Username   string    `json:"username,omitempty"`
		Name       string    `json:"name,omitempty"`
		Scopes     string    `json:"scopes"`
		State      string    `json:"state"`
		Access     string    `json:"access_token,omitempty"`
		Refresh    string    `json:"refresh_token,omitempty"`
		Expires    time.Time `json:"expires,omitzero"`
		Generation int64     `json:"generation"`
		Failures   int       `json:"failures,omitempty"`
		Retry      time.Time `json:"retry,omitzero"`
		Holder     string    `json:"lease_holder,omitempty"`
		Until      time.Time `json:"lease_until,omitzero"`
		Created    time.Time `json:"created,omitzero"`
		Updated    time.Time `json:"updated,omitzero"`
	}
)

// read takes a record apart. A member it does not know may matter, so it is
// refused. Errors do not quote the record.
func read[R any](kind string, record []byte) (R, error) {
	var r R
	d := json.NewDecoder(bytes.NewReader(record))
	d.DisallowUnknownFields()
	if d.Decode(&r) != nil {
		return r, fault.New(fault.Invalid, "a record of the kind %s cannot be read; a later version of Perch wrote it: "+
			"import it with that one", kind)
	}
	return r, nil
}

func (r xappRecord) xapp() xapp.App {
	return xapp.App{
		ID: xapp.ID(r.ID), Name: r.Name, ClientID: r.ClientID, APIKey: r.APIKey, Created: r.Created,
	}
}

func recordOfApp(a client.App) appRecord {
	return appRecord{
		ID: string(a.ID), Name: a.Name, XApp: string(a.XApp), Status: string(a.Status), Origins: a.Origins,
		RedirectURIs: a.RedirectURIs, Actions: a.Actions, Scopes: a.Scopes, Cookies: a.Cookies, DPoP: a.DPoP,
		Limits: a.Limits, Budget: budgetRecord(a.Budget), GrantBudget: budgetRecord(a.GrantBudget),
		Created: a.Created,
	}
}

func (r appRecord) app() client.App {
	return client.App{
		ID: client.AppID(r.ID), Name: r.Name, XApp: xapp.ID(r.XApp), Status: client.Status(r.Status), Origins: r.Origins,
		RedirectURIs: r.RedirectURIs, Actions: r.Actions, Scopes: r.Scopes, Cookies: r.Cookies, DPoP: r.DPoP,
		Limits: r.Limits, Budget: money.Budget(r.Budget), GrantBudget: money.Budget(r.GrantBudget),
		Created: r.Created,
	}
}

func recordOfKey(k apikey.Key) keyRecord {
	r := keyRecord{
		ID: string(k.ID), App: string(k.App), Kind: string(k.Kind), Name: k.Name, Hint: k.Hint, Digest: k.Digest,
		Actions: k.Actions, Addresses: apikey.Written(k.Addresses), AppOnly: k.AppOnly,
		Batch: k.Batch, Created: k.Created, Expires: k.Expires, Revoked: k.Revoked,
	}
	if len(k.Grants) == 1 {
		r.Grant = k.Grants[0]
	} else {
		r.Grants = k.Grants
	}
	return r
}

func (r keyRecord) key() apikey.Key {
	k := apikey.Key{
		ID: apikey.ID(r.ID), App: client.AppID(r.App), Kind: apikey.Kind(r.Kind), Name: r.Name, Hint: r.Hint,
		Digest: r.Digest, Grants: r.Grants, Actions: r.Actions, Addresses: apikey.Read(r.Addresses), AppOnly: r.AppOnly,
		Batch: r.Batch, Created: r.Created, Expires: r.Expires, Revoked: r.Revoked,
	}
	if r.Grant != "" {
		k.Grants = []oauth.GrantID{r.Grant}
	}
	return k
}

// recordOfGrant leaves out the tokens.
func recordOfGrant(g oauth.Grant) grantRecord {
	return grantRecord{
		ID: string(g.ID), App: string(g.App), XApp: string(g.XApp),
		User: string(g.User.ID), Username: g.User.Username, Name: g.User.Name,
		Scopes: string(g.Scopes), State: string(g.State), Expires: g.Expires,
		Generation: g.Generation, Failures: g.Failures, Retry: g.Retry,
		Holder: g.Lease.Holder, Until: g.Lease.Until, Created: g.Created, Updated: g.Updated,
	}
}

// grant is the grant without its boxes.
func (r grantRecord) grant() oauth.Grant {
	return oauth.Grant{
		ID: oauth.GrantID(r.ID), App: client.AppID(r.App), XApp: xapp.ID(r.XApp),
		User:   user.User{ID: user.ID(r.User), Username: r.Username, Name: r.Name},
		Scopes: oauth.Scopes(r.Scopes), State: oauth.State(r.State), Expires: r.Expires,
		Generation: r.Generation, Failures: r.Failures, Retry: r.Retry,
		Lease: oauth.Lease{Holder: r.Holder, Until: r.Until}, Created: r.Created, Updated: r.Updated,
	}
}
