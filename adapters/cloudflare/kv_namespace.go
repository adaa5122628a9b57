package cloudflare

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Bounds of Workers KV.
const (
	longestKey = 512  // bytes
	mostKeys   = 1000 // in a page of keys
	mostGets   = 100  // values in one call
)

// A namespace is a namespace of Workers KV. What it returns may be a minute old,
// or more; so may that something is not there.
type namespace struct {
	client *Client
	id     string

	mu     sync.Mutex
	tried  time.Time // the last call whose end says how KV is
	failed error     // how it ended
}

func (n *namespace) path(rest string) string {
	return "/storage/kv/namespaces/" + url.PathEscape(n.id) + "/" + rest
}

func (n *namespace) put(ctx context.Context, key, value string) error {
	_, err := n.client.Do(ctx, Call{
		Method: http.MethodPut, Path: n.path("values/" + url.PathEscape(key)), Type: "text/plain", Body: []byte(value),
		Repeat: true,
	})
	return n.note(err)
}

// remove removes a key, whether it is there or not.
func (n *namespace) remove(ctx context.Context, key string) error {
	_, err := n.client.Do(ctx, Call{
		Method: http.MethodDelete, Path: n.path("values/" + url.PathEscape(key)), Repeat: true,
	})
	if absent(err) {
		err = nil
	}
	return n.note(err)
}

// get returns a value, and whether there is one.
func (n *namespace) get(ctx context.Context, key string) (value string, ok bool, err error) {
	body, err := n.client.Do(ctx, Call{Method: http.MethodGet, Path: n.path("values/" + url.PathEscape(key))})
	if absent(err) {
		return "", false, n.note(nil)
	}
	return string(body), err == nil, n.note(err)
}

// page returns up to mostKeys keys that begin with prefix, in the order of their
// bytes, and the cursor of the next page, or "".
func (n *namespace) page(ctx context.Context, prefix, cursor string) (keys []string, next string, err error) {
	q := url.Values{"prefix": {prefix}, "limit": {strconv.Itoa(mostKeys)}}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	var found []struct{ Name string }
	var about struct{ Cursor string }
	err = n.client.Ask(ctx, Call{Method: http.MethodGet, Path: n.path("keys?" + q.Encode())}, &found, &about)
	for _, k := range found {
		keys = append(keys, k.Name)
	}
	return keys, about.Cursor, n.note(err)
}

// some returns up to mostGets values; keys that are not there are left out.
func (n *namespace) some(ctx context.Context, keys []string) (map[string]string, error) {
	body, err := json.Marshal(map[string][]string{"keys": keys})
	if err != nil {
		return nil, err
	}
	var found struct{ Values map[string]*string }
	call := Call{Method: http.MethodPost, Path: n.path("bulk/get"), Body: body, Repeat: true}
	if err := n.note(n.client.Ask(ctx, call, &found, nil)); err != nil {
		return nil, err
	}
	values := map[string]string{}
	for key, value := range found.Values {
		if value != nil {
			values[key] = *value
		}
	}
	return values, nil
}

// absent reports whether err says that KV has no such key.
func absent(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == codeNoKey
}

// note remembers how a call ended, unless its caller ended it.
func (n *namespace) note(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tried, n.failed = time.Now(), err
	return err
}

// last returns how the last call ended, if that is not long ago.
func (n *namespace) last(within time.Duration) (err error, known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failed, time.Since(n.tried) < within
}
