package apikey_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/domain/apikey"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/oauth"
)

func TestAddressesAreReadInOneSpelling(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "192.0.2.0/24": "192.0.2.0/24", "::1": "::1/128",
		"2001:db8::/32": "2001:db8::/32", "::ffff:192.0.2.7": "192.0.2.7/32",
	} {
		got, err := apikey.ParseAddresses([]string{in, in})
		if err != nil || fmt.Sprint(apikey.Written(got)) != "["+want+"]" {
			t.Errorf("%s is read as %v: %v", in, got, err)
		}
	}
	for in, says := range map[string]string{
		"": "192.0.2.7", "any": "192.0.2.7", "192.0.2.7/24": "192.0.2.0/24 for the network, or 192.0.2.7", "fe80::1%eth0": "192.0.2.7",
		"192.0.2.0/33": "192.0.2.7", "::ffff:192.0.2.0/120": "IPv4", "192.0.2.07": "192.0.2.7", "0.0.0.0/0": "no restriction",
		"::/0": "no restriction", strings.Repeat("1", 99): "no IP address",
	} {
		if _, err := apikey.ParseAddresses([]string{"::1", in}); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestAKeyIsGoodFromItsAddressesAlone(t *testing.T) {
	bound, err := apikey.ParseAddresses([]string{"192.0.2.0/24", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"192.0.2.255": true, "::ffff:192.0.2.1": true, "2001:db8::1": true, "192.0.3.0": false, "127.0.0.1": false, "2001:db9::": false, "": false,
	} {
		a, _ := netip.ParseAddr(address)
		if got := (apikey.Key{Addresses: bound}).From(a); got != want {
			t.Errorf("from %q: %v", address, got)
		}
		if !(apikey.Key{}).From(a) {
			t.Errorf("a key that is bound to no address is refused from %q", address)
		}
	}
	if (apikey.Key{Addresses: apikey.Read([]string{"no address"})}).From(netip.MustParseAddr("192.0.2.1")) {
		t.Error("what cannot be read is taken for anywhere")
	}
}

func TestAKeyEndsSoonerButNeverLater(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct{ had, want time.Time }{
		"never ends": {time.Time{}, at}, "ends later": {at.Add(1), at}, "ends sooner": {at.Add(-1), at.Add(-1)},
	} {
		if got := (apikey.Key{Expires: c.had}).Until(at).Expires; !got.Equal(c.want) {
			t.Errorf("a key that %s: %v", name, got)
		}
	}
}

func TestTheNextKeyMayDoTheSameAndIsAnother(t *testing.T) {
	made, now := time.Unix(0, 0), time.Unix(1000, 0)
	addresses := apikey.Read([]string{"192.0.2.0/24"})
	old := apikey.Key{
		ID: "key_1", App: "app_1", Kind: apikey.Secret, Name: "CI", Hint: "sk_…", Digest: "digest", Grants: []oauth.GrantID{"g"},
		Actions: []string{"read"}, Addresses: addresses, AppOnly: true, Created: made, Expires: made.Add(time.Hour), Version: 7,
	}
	want := apikey.Key{
		App: client.AppID("app_1"), Kind: apikey.Secret, Name: "CI", Grants: []oauth.GrantID{"g"}, Actions: []string{"read"},
		Addresses: addresses, AppOnly: true, Expires: now.Add(time.Hour),
	}
	same := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if diff := cmp.Diff(want, old.Next(now), same); diff != "" {
		t.Error(diff)
	}
	old.Expires = time.Time{}
	if !old.Next(now).Expires.IsZero() {
		t.Error("the next of a key that never ends does")
	}
}

func TestKeysThatWouldBeUnsafeAreRefused(t *testing.T) {
	sk, pk := apikey.Key{Kind: apikey.Secret}, apikey.Key{Kind: apikey.Publishable}
	with := func(k apikey.Key, edit func(*apikey.Key)) apikey.Key { edit(&k); return k }
	for name, k := range map[string]apikey.Key{
		"no kind":              {},
		"another kind":         {Kind: "root"},
		"publishable, grant":   with(pk, func(k *apikey.Key) { k.Grants = []oauth.GrantID{"g"} }),
		"publishable, action":  with(pk, func(k *apikey.Key) { k.Actions = []string{"read"} }),
		"publishable, address": with(pk, func(k *apikey.Key) { k.Addresses = apikey.Read([]string{"::1/128"}) }),
		"publishable app-only": with(pk, func(k *apikey.Key) { k.AppOnly = true }),
		"publishable, batch":   with(pk, func(k *apikey.Key) { k.Batch = true }),
		"an unknown action":    with(sk, func(k *apikey.Key) { k.Actions = []string{"read", "createTweets"} }),
		"an unknown tag":       with(sk, func(k *apikey.Key) { k.Actions = []string{"tag:posts"} }),
		"no grant":             with(sk, func(k *apikey.Key) { k.Grants = []oauth.GrantID{""} }),
		"no address":           with(sk, func(k *apikey.Key) { k.Addresses = make([]netip.Prefix, 1) }),
		"a long name":          with(sk, func(k *apikey.Key) { k.Name = strings.Repeat("n", 201) }),
		"a name with a bell":   with(sk, func(k *apikey.Key) { k.Name = "\a" }),
		"many grants":          with(sk, func(k *apikey.Key) { k.Grants = make([]oauth.GrantID, 101) }),
	} {
		if err := k.Check(); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	full := with(sk, func(k *apikey.Key) {
		k.Name, k.AppOnly, k.Grants, k.Actions = "Zoë's", true, []oauth.GrantID{"g"}, []string{"read", "tag:Posts", "createPosts"}
		k.Addresses = apikey.Read([]string{"::1/128"})
	})
	for _, k := range []apikey.Key{sk, pk, full, with(pk, func(k *apikey.Key) { k.Name = "page" })} {
		if err := k.Check(); err != nil {
			t.Errorf("%+v: %v", k, err)
		}
	}
}
