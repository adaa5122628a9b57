package sqlstore

import (
	"context"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/oauth"
	"perch/ports"
)

// APIKeys is a ports.APIKeys.
type APIKeys struct {
	keys table[keyRow, apikey.Key]
}

var _ ports.APIKeys = (*APIKeys)(nil)

func newAPIKeys(s *Store) *APIKeys {
	return &APIKeys{table[keyRow, apikey.Key]{
		reads: s.reads, writes: s.writes, noun: "API key", key: "id", fixed: []string{"id", "digest"},
		row: rowOfKey, value: (*keyRow).apiKey,
	}}
}

func (s *APIKeys) Create(ctx context.Context, k apikey.Key) (apikey.Key, error) {
	k.Version = 1
	return s.keys.insert(ctx, k)
}

func (s *APIKeys) Get(ctx context.Context, id apikey.ID) (apikey.Key, error) {
	return s.keys.get(ctx, "id = ?", id)
}

// ByDigest reads one row whether there is such a key or not, so that time does
// not tell: where there is none, that of some other key, another for each digest.
func (s *APIKeys) ByDigest(ctx context.Context, digests []string) (apikey.Key, error) {
	digests = slices.DeleteFunc(slices.Clone(digests), func(d string) bool { return !fit(d) })
	near := "key_"
	if len(digests) > 0 {
		near += strings.ToLower(digests[0])
	}
	k, err := s.keys.get(ctx, `id = COALESCE((SELECT id FROM api_keys WHERE digest IN (?) LIMIT 1),
		(SELECT id FROM api_keys WHERE id > ? ORDER BY id LIMIT 1), (SELECT id FROM api_keys ORDER BY id LIMIT 1))`,
		bun.List(digests), near)
	if err == nil && !slices.Contains(digests, k.Digest) {
		return apikey.Key{}, missing(s.keys.noun)
	}
	return k, err
}

func (s *APIKeys) Swap(ctx context.Context, old, next apikey.Key) (apikey.Key, error) {
	next.ID, next.Version, next.Digest = old.ID, old.Version+1, old.Digest
	return s.keys.swap(ctx, old.ID, old.Version, next)
}

func (s *APIKeys) List(ctx context.Context, app client.AppID, after apikey.ID, n int) ([]apikey.Key, error) {
	return s.keys.list(ctx, after, n, string(app))
}

type keyRow struct {
	bun.BaseModel `bun:"table:api_keys,alias:k"`

	ID        string `bun:"id,pk"`
	App       string `bun:"app"`
	Kind      string `bun:"kind"`
	Name      string `bun:"name"`
	Hint      string `bun:"hint"`
	Digest    string `bun:"digest"`
	First     string `bun:"grant_id"` // of the grants, for versions that know of one alone
	Grants    list   `bun:"grants"`
	Actions   list   `bun:"actions"`
	Addresses list   `bun:"addresses"`
	AppOnly   int64  `bun:"app_only"` // 1: yes
	Batch     int64  `bun:"batch"`    // 1: yes
	Created   int64  `bun:"created"`
	Expires   int64  `bun:"expires"`
	Revoked   int64  `bun:"revoked"`
	Version   int64  `bun:"version"`
}

func rowOfKey(k apikey.Key) *keyRow {
	r := &keyRow{
		ID: string(k.ID), App: string(k.App), Kind: string(k.Kind), Name: k.Name, Hint: k.Hint, Digest: k.Digest,
		Grants: listOf(k.Grants), Actions: listOf(k.Actions), Addresses: listOf(apikey.Written(k.Addresses)),
		AppOnly: flag(k.AppOnly), Batch: flag(k.Batch),
		Created: micros(k.Created), Expires: micros(k.Expires), Revoked: micros(k.Revoked), Version: k.Version,
	}
	if len(k.Grants) > 0 {
		r.First = string(k.Grants[0])
	}
	return r
}

func (r *keyRow) apiKey() apikey.Key {
	grants := itemsOf[oauth.GrantID](r.Grants)
	if len(grants) == 0 && r.First != "" { // from a replica of a version that knows of one alone
		grants = []oauth.GrantID{oauth.GrantID(r.First)}
	}
	return apikey.Key{
		ID: apikey.ID(r.ID), App: client.AppID(r.App), Kind: apikey.Kind(r.Kind), Name: r.Name, Hint: r.Hint,
		Digest: r.Digest, Grants: grants, Actions: itemsOf[string](r.Actions),
		Addresses: apikey.Read(r.Addresses), AppOnly: r.AppOnly == 1, Batch: r.Batch == 1,
		Created: moment(r.Created), Expires: moment(r.Expires), Revoked: moment(r.Revoked), Version: r.Version,
	}
}
