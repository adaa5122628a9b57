package httpapi

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"time"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
)

type keyView struct {
	ID         string     `json:"id"`
	AppID      string     `json:"app_id"`
	Kind       string     `json:"kind"`
	Name       string     `json:"name"`
	Hint       string     `json:"hint"`
	GrantID    string     `json:"grant_id,omitempty"` // if there is one alone
	Grants     []string   `json:"grants"`
	Actions    []string   `json:"actions"`
	Addresses  []string   `json:"addresses"`
	AppOnly    bool       `json:"app_only"`
	Batch      bool       `json:"batch"`
	CreatedAt  *time.Time `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
	Key        string     `json:"key,omitempty"` // once, when it is made
}

func viewKey(k apikey.Key, used time.Time) keyView {
	view := keyView{
		ID: string(k.ID), AppID: string(k.App), Kind: string(k.Kind), Name: k.Name, Hint: k.Hint,
		Grants: texts(k.Grants), Actions: texts(k.Actions), Addresses: texts(apikey.Written(k.Addresses)),
		AppOnly: k.AppOnly, Batch: k.Batch,
		CreatedAt: instant(k.Created), ExpiresAt: instant(k.Expires), RevokedAt: instant(k.Revoked),
		LastUsedAt: instant(used),
	}
	if len(k.Grants) == 1 {
		view.GrantID = string(k.Grants[0])
	}
	return view
}

func (s *Server) listKeys(r *request) error {
	_, after, n, err := r.paging()
	if err != nil {
		return err
	}
	app, err := s.services.Clients.Get(r.ctx, client.AppID(r.param("id")))
	if err != nil {
		return err
	}
	all, err := s.services.Clients.Keys(r.ctx, app.ID, apikey.ID(after), n+1)
	if err != nil {
		return err
	}
	last, err := s.lastUsed(r, all...)
	if err != nil {
		return err
	}
	view := func(k apikey.Key) keyView { return viewKey(k, last[string(k.ID)]) }
	r.json(plainJSON, pageOf(all, n, view, func(k apikey.Key) string { return string(k.ID) }))
	return nil
}

func (s *Server) lastUsed(r *request, keys ...apikey.Key) (map[string]time.Time, error) {
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = string(k.ID)
	}
	return s.services.Uses.Last(r.ctx, ids)
}

// issueKey makes a key and shows it, this once.
func (s *Server) issueKey(r *request) error {
	var in struct {
		Kind      string    `json:"kind"`
		Name      string    `json:"name"`
		GrantID   string    `json:"grant_id"`
		Grants    []string  `json:"grants"`
		Actions   []string  `json:"actions"`
		Addresses []string  `json:"addresses"`
		AppOnly   bool      `json:"app_only"`
		Batch     bool      `json:"batch"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	if err := r.decode(&in); err != nil {
		return err
	}
	key := apikey.Key{
		App: client.AppID(r.param("id")), Kind: apikey.Kind(in.Kind), Name: in.Name, Actions: in.Actions,
		AppOnly: in.AppOnly, Batch: in.Batch, Expires: micros(in.ExpiresAt),
	}
	if in.GrantID != "" {
		in.Grants = append(in.Grants, in.GrantID)
	}
	var err error
	if key.Grants, err = s.grantIDs(r, key.App, in.Grants); err != nil {
		return err
	}
	if key.Addresses, err = apikey.ParseAddresses(in.Addresses); err != nil {
		return err
	}
	k, text, err := s.services.Clients.IssueKey(r.ctx, key)
	if err != nil {
		return err
	}
	r.newKey(k, text)
	return nil
}

// newKey answers with a key, which is shown this once.
func (r *request) newKey(k apikey.Key, text secret.Text) {
	r.event.Target = string(k.ID)
	view := viewKey(k, time.Time{})
	view.Key = text.Reveal()
	r.c.Status(http.StatusCreated)
	r.json(plainJSON, view)
}

// grantIDs are those a key may be bound to: grants of its application.
func (s *Server) grantIDs(r *request, app client.AppID, list []string) ([]oauth.GrantID, error) {
	var ids []oauth.GrantID
	for _, text := range list {
		id := oauth.GrantID(text)
		if _, err := s.services.Grants.Get(r.ctx, app, id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// An optional member of a document may be left out, or be null for nothing.
type optional[T any] struct {
	given bool
	value T
}

func (o *optional[T]) UnmarshalJSON(b []byte) error {
	o.given = true
	return json.Unmarshal(b, &o.value)
}

// A keyChange has the members of a key that can be changed: those that are there
// are, the others stay. What a key is, and whose, cannot be changed.
type keyChange struct {
	Name      *string             `json:"name"`
	Grants    *[]string           `json:"grants"`
	Actions   *[]string           `json:"actions"`
	Addresses *[]string           `json:"addresses"`
	Batch     *bool               `json:"batch"`
	ExpiresAt optional[time.Time] `json:"expires_at"`
}

// to returns what the change makes of a key whose grants and addresses were read
// before.
func (in keyChange) to(k apikey.Key, grants []oauth.GrantID, addresses []netip.Prefix) apikey.Key {
	put(&k.Name, in.Name)
	put(&k.Batch, in.Batch)
	if in.Grants != nil {
		k.Grants = grants
	}
	if in.Addresses != nil {
		k.Addresses = addresses
	}
	if in.ExpiresAt.given {
		k.Expires = micros(in.ExpiresAt.value)
	}
	replace(&k.Actions, in.Actions)
	return k
}

func (s *Server) changeKey(r *request) error {
	var in keyChange
	if err := r.decode(&in); err != nil {
		return err
	}
	old, err := s.services.Clients.Key(r.ctx, apikey.ID(r.param("id")))
	if err != nil {
		return err
	}
	grants, err := s.grantIDs(r, old.App, given(in.Grants))
	if err != nil {
		return err
	}
	addresses, err := apikey.ParseAddresses(given(in.Addresses))
	if err != nil {
		return err
	}
	k, err := s.services.Clients.ChangeKey(r.ctx, old.ID, func(k apikey.Key) apikey.Key {
		return in.to(k, grants, addresses)
	})
	if err != nil {
		return err
	}
	last, err := s.lastUsed(r, k)
	if err != nil {
		return err
	}
	r.json(plainJSON, viewKey(k, last[string(k.ID)]))
	return nil
}

func given(list *[]string) []string {
	if list == nil {
		return nil
	}
	return *list
}

// usualOverlap is how long a rotated key goes on beside the new one, unless the
// operator says otherwise.
const usualOverlap = 24 * time.Hour

// rotateKey makes the successor of a key and shows it, this once.
func (s *Server) rotateKey(r *request) error {
	var in struct {
		Seconds *int64 `json:"overlap_seconds"`
		Overlap string `json:"overlap"`
	}
	if r.body != nil {
		if err := r.decode(&in); err != nil {
			return err
		}
	}
	overlap, err := overlapOf(in.Seconds, in.Overlap)
	if err != nil {
		return err
	}
	k, text, err := s.services.Clients.RotateKey(r.ctx, apikey.ID(r.param("id")), overlap)
	if err != nil {
		return err
	}
	r.newKey(k, text)
	r.event.Target = r.param("id") + "," + string(k.ID)
	return nil
}

func overlapOf(seconds *int64, text string) (time.Duration, error) {
	const year = 366 * 24 * 60 * 60
	switch {
	case seconds != nil && text != "":
		return 0, fault.New(fault.Invalid, "overlap_seconds and overlap are both given; keep one").With("field", "overlap")
	case seconds != nil:
		return time.Duration(min(max(*seconds, -1), year)) * time.Second, nil
	case text == "":
		return usualOverlap, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fault.New(fault.Invalid, "overlap is no length of time; write it as 24h or 90m").With("field", "overlap")
	}
	return d, nil
}

// micros is the time as stores keep it.
func micros(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

func (s *Server) revokeKey(r *request) error {
	if _, err := s.services.Clients.RevokeKey(r.ctx, apikey.ID(r.param("id"))); err != nil {
		return err
	}
	r.c.Status(http.StatusNoContent)
	return nil
}
