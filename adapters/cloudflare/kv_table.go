package cloudflare

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"perch/domain/fault"
	"perch/ports"
)

// A table keeps values V as rows R, which are JSON, each under a key of its own
// in KV. The key is the ID behind the table's name, so that keys sort as IDs do.
type table[R, V any] struct {
	kv      *KV
	noun    string
	name    string
	id      func(V) string
	version func(*V) *int64
	row     func(V) *R
	value   func(*R) V
	alias   func(V) []string     // what belongs to one value alone; nil: nothing but the ID
	keep    func(was V, next *V) // puts back what a swap must not change
}

func (t *table[R, V]) key(id string) string { return t.name + "/" + id }

func (t *table[R, V]) head(id string) string { return t.kv.record(t.key(id)) }

// aliased is the ID of the head of an alias: whatever it is, it has a fixed
// length. Aliases follow from records, so KV does without them.
func (t *table[R, V]) aliased(alias []string) string {
	text, _ := json.Marshal(alias) // texts cannot fail
	sum := sha256.Sum256(text)
	return t.kv.beside(t.name + "/" + base64.RawURLEncoding.EncodeToString(sum[:]))
}

func (t *table[R, V]) read(h ports.Head) (V, error) {
	var none V
	if h.Body == "" {
		return none, t.missing()
	}
	row := new(R)
	if err := json.Unmarshal([]byte(h.Body), row); err != nil {
		return none, fault.New(fault.Internal, "").Because(err)
	}
	v := t.value(row)
	*t.version(&v) = h.Version
	return v, nil
}

func (t *table[R, V]) get(ctx context.Context, id string) (V, error) {
	h, err := t.kv.head(ctx, t.head(id))
	if err != nil {
		var none V
		return none, err
	}
	return t.read(h)
}

// find returns the value that the alias belongs to.
func (t *table[R, V]) find(ctx context.Context, alias ...string) (V, error) {
	var none V
	if !whole(reflect.ValueOf(alias)) { // JSON would change it
		return none, t.missing()
	}
	at, err := t.kv.head(ctx, t.aliased(alias))
	if err != nil {
		return none, err
	}
	if at.Body == "" {
		return none, t.missing()
	}
	v, err := t.get(ctx, at.Body)
	if err == nil && !t.has(v, alias) {
		return none, t.missing()
	}
	return v, err
}

func (t *table[R, V]) missing() error {
	return fault.New(fault.NotFound, "there is no such %s", t.noun)
}

// has reports whether the alias is that of the value: one that was claimed for a
// record which never came about may lead to another.
func (t *table[R, V]) has(v V, alias []string) bool { return t.aliased(t.alias(v)) == t.aliased(alias) }

func (t *table[R, V]) create(ctx context.Context, v V) (V, error) {
	var none V
	id := t.id(v)
	if !whole(reflect.ValueOf(t.row(v)).Elem()) || len(t.key(id)) > longestKey {
		return none, fault.New(fault.Invalid, "text must be UTF-8 without NUL characters, and an ID short")
	}
	was, err := t.kv.head(ctx, t.head(id))
	if err != nil {
		return none, err
	}
	if was.Body != "" {
		return none, t.taken()
	}
	if t.alias != nil {
		if err := t.claim(ctx, t.alias(v), id); err != nil {
			return none, err
		}
	}
	v, err = t.advance(ctx, was.Version, v)
	if errors.Is(err, fault.Conflict) {
		return none, t.taken()
	}
	return v, err
}

func (t *table[R, V]) taken() error {
	return fault.New(fault.Conflict, "there is such a %s already", t.noun)
}

func (t *table[R, V]) swap(ctx context.Context, old, next V) (V, error) {
	var none V
	was, err := t.get(ctx, t.id(old))
	if err != nil {
		return none, err
	}
	if *t.version(&was) != *t.version(&old) {
		return none, t.overtaken()
	}
	t.keep(was, &next)
	if !whole(reflect.ValueOf(t.row(next)).Elem()) {
		return none, fault.New(fault.Invalid, "text must be UTF-8 without NUL characters")
	}
	v, err := t.advance(ctx, *t.version(&was), next)
	if errors.Is(err, fault.Conflict) {
		return none, t.overtaken()
	}
	return v, err
}

func (t *table[R, V]) overtaken() error {
	return fault.New(fault.Conflict, "the %s was changed meanwhile; read it again", t.noun)
}

// advance stores the value as the version after the given one. With the head it
// is stored, whatever KV says.
func (t *table[R, V]) advance(ctx context.Context, version int64, v V) (V, error) {
	var none V
	text, err := json.Marshal(t.row(v))
	if err != nil {
		return none, fault.New(fault.Internal, "").Because(err)
	}
	h := ports.Head{ID: t.head(t.id(v)), Version: version + 1, Body: string(text)}
	if err := t.kv.heads.Advance(ctx, version, h); err != nil {
		return none, err
	}
	_ = t.kv.follow(ctx, t.key(t.id(v)), h) // else Sync does
	return t.read(h)
}

// remove leaves a head without a body.
func (t *table[R, V]) remove(ctx context.Context, id string) error {
	for {
		was, err := t.kv.head(ctx, t.head(id))
		if err == nil && was.Body == "" {
			err = t.missing()
		}
		if err != nil {
			return err
		}
		gone := ports.Head{ID: was.ID, Version: was.Version + 1}
		switch err := t.kv.heads.Advance(ctx, was.Version, gone); {
		case err == nil:
			_ = t.kv.follow(ctx, t.key(id), gone) // else Sync does
			return nil
		case !errors.Is(err, fault.Conflict):
			return err
		}
	}
}

// list returns up to n values with IDs after the given one that are wanted, in
// order.
func (t *table[R, V]) list(ctx context.Context, after string, n int, wanted func(V) bool) ([]V, error) {
	if !whole(reflect.ValueOf(after)) {
		return nil, ctx.Err()
	}
	var out []V
	size := max(n, mostGets)
	for at := t.head(after); len(out) < n; {
		page, err := t.kv.heads.List(ctx, t.head(""), at, size)
		if err != nil {
			return nil, err
		}
		for _, h := range page {
			v, err := t.read(h)
			switch {
			case errors.Is(err, fault.NotFound): // removed
			case err != nil:
				return nil, err
			case wanted(v):
				out = append(out, v)
			}
			at = h.ID
		}
		if len(page) < size {
			break
		}
	}
	return out[:min(len(out), max(n, 0))], ctx.Err()
}

func every[V any](V) bool { return true }

// whole reports whether all text in v can be stored whole: JSON would change what
// is not UTF-8, and SQL does not take NUL.
func whole(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		return utf8.ValidString(v.String()) && !strings.Contains(v.String(), "\x00")
	case reflect.Slice:
		for i := range v.Len() {
			if !whole(v.Index(i)) {
				return false
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !whole(v.Field(i)) {
				return false
			}
		}
	default:
	}
	return true
}

// micros is t as rows hold it: microseconds since 1970, 0 for no time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
