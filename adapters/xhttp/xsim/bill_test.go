package xsim_test

import (
	"net/http"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
)

func TestTheBillIsXs(t *testing.T) {
	b := open(t, xsim.Options{})
	token := b.as(ada)
	want := func(when string, micros int64) {
		t.Helper()
		if total, _ := b.Billed(); total.Micros != micros {
			t.Errorf("%s: %d micros, want %d", when, total.Micros, micros)
		}
	}
	b.want(http.StatusOK, "GET", "/2/users/me", token, "")
	b.want(http.StatusOK, "GET", "/2/users/me", token, "")
	want("a user twice", 10_000)
	b.want(http.StatusOK, "GET", "/2/users?ids="+ada+","+grace, token, "")
	want("and another one", 20_000)
	b.want(http.StatusCreated, "POST", "/2/tweets", token, `{"text":"hello"}`)
	want("a post", 35_000)
	b.want(http.StatusCreated, "POST", "/2/tweets", token, `{"text":"see example.com"}`)
	want("a post with a link", 235_000)
	b.want(http.StatusCreated, "POST", "/2/tweets", token, `{"text":"see cafe\u0301.com/sale"}`)
	want("a post with a link that has a mark", 435_000)
	b.want(http.StatusForbidden, "POST", "/2/tweets", token, `{"text":"hello"}`)
	b.want(http.StatusBadRequest, "POST", "/2/tweets", token, `{"nonsense":1}`)
	b.want(http.StatusUnauthorized, "GET", "/2/users/me", "guess", "")
	want("refusals", 435_000)
	b.Advance(12 * time.Hour)
	b.want(http.StatusOK, "GET", "/2/users/"+grace, b.as(ada), "")
	want("on the next day", 445_000)
	if e := b.last("bill"); e.Object != "getUsersById" || e.Details["micros"] != "10000" {
		t.Errorf("the ledger says %+v", e)
	}
	a := b.want(http.StatusOK, "GET", "/_sim/bill", "", "")
	if a.field("actions.createPosts.calls").(interface{ String() string }).String() != "3" {
		t.Errorf("the box says %s", a.raw)
	}
}
