package actions_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/adapters/xhttp/xsim"
	"perch/app/actions"
	"perch/domain/fault"
	"perch/domain/quota"
	"perch/ports"
)

// A booth is a toll that writes down who passes, and how they come back.
type booth struct {
	name   string
	log    *[]string
	closed bool
}

func (b booth) Enter(_ context.Context, who ports.Caller, call ports.Call) (ports.Settle, error) {
	if b.closed {
		return nil, fault.New(fault.Limited, "no").Named("closed-" + b.name)
	}
	*b.log = append(*b.log, fmt.Sprintf("%s: in, %s for %s", b.name, call.Action.ID, who.User))
	return func(_ context.Context, r *ports.Reply, err error) {
		*b.log = append(*b.log, fmt.Sprintf("%s: out, %d, unasked %v", b.name, r.Status, errors.Is(err, ports.ErrUnsent)))
		if r.Header == nil {
			r.Header = map[string][]string{}
		}
		r.Header["Booth"] = append(r.Header["Booth"], b.name)
	}, nil
}

func TestTollsAreSettledInTheOrderThatUndoesThem(t *testing.T) {
	h := newHouse(t, quota.Limit{})
	for name, v := range map[string]struct {
		secondClosed bool
		mischief     string
		slug         string
		want         []string
	}{
		"X answers": {want: []string{
			"limits: in, getUsersMe for U", "money: in, getUsersMe for U", "money: out, 200, unasked false", "limits: out, 200, unasked false",
		}},
		"the second toll refuses": {secondClosed: true, slug: "closed-money", want: []string{
			"limits: in, getUsersMe for U", "limits: out, 0, unasked true",
		}},
		"X does not answer": {mischief: "refused", slug: "x-no-answer", want: []string{
			"limits: in, getUsersMe for U", "money: in, getUsersMe for U", "money: out, 0, unasked false", "limits: out, 0, unasked false",
		}},
	} {
		var log []string
		h.Tolls = actions.Tolls(booth{"limits", &log, false}, booth{"money", &log, v.secondClosed})
		if v.mischief != "" {
			h.x.Mischief(xsim.Mischief{Match: "getUsersMe", Kind: v.mischief})
		}
		reply, err := h.Do(t.Context(), h.request("getUsersMe", ""))
		h.x.ClearMischief()
		if fault.SlugOf(err) != v.slug {
			t.Errorf("%s: %v", name, err)
		}
		for i := range v.want {
			v.want[i] = strings.ReplaceAll(v.want[i], "for U", "for "+string(h.grant.User.ID))
		}
		if diff := cmp.Diff(v.want, log); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		if err == nil {
			if diff := cmp.Diff([]string{"money", "limits"}, reply.Header["Booth"]); diff != "" {
				t.Errorf("%s: what tolls say of an answer:\n%s", name, diff)
			}
		}
	}
}

func TestWhatCannotBeSentPaysNothing(t *testing.T) {
	h, _ := later(t)
	read, accept := h.request("searchPostsRecent", ""), h.request("searchPostsRecent", "")
	read.Call.Query, accept.Call.Accept = "query=a&max_results=100&token=x", strings.Repeat("a", 1001)
	byID := h.request("getUsersById", "")
	byID.Call.Params = map[string]string{"id": ".."}
	upload := h.request("mediaUpload", "{}")
	upload.Call.Type = "a/b\x00"
	for name, r := range map[string]actions.Request{
		"a credential in the query": read, "an endless header": accept, "a path of dots": byID, "a type with a NUL": upload,
	} {
		var log []string
		h.Tolls = actions.Tolls(booth{"money", &log, false})
		if _, err := h.Do(t.Context(), r); !errors.Is(err, fault.Invalid) || len(log) > 0 {
			t.Errorf("%s: %q, %v", name, log, err)
		}
	}
	call := post("a")
	call.Query = "token=x"
	if err := h.Allows(t.Context(), h.parcel("createPosts"), call); !errors.Is(err, fault.Invalid) {
		t.Errorf("for later: %v", err)
	}
}

// A fading X loses so many answers, then wants another token, and is gone.
type fadingX struct {
	ports.TwitterGateway
	lost int
	gone *bool
}

func (x fadingX) Do(context.Context, ports.Call) (ports.Reply, error) {
	if *x.gone {
		return ports.Reply{}, fault.New(fault.Unavailable, "X is gone").Named("x-unreachable").Because(ports.ErrUnsent)
	}
	*x.gone = true
	return ports.Reply{Status: 401, Lost: x.lost, Body: http.NoBody}, nil
}

func TestACallWhoseAnswerWasLostIsNotUnsentAfterAll(t *testing.T) {
	for lost, unasked := range map[int]bool{0: true, 1: false} { // a 401 alone is not performed
		var log []string
		h := newHouse(t, quota.Limit{})
		h.Tolls, h.X = actions.Tolls(booth{"money", &log, false}), fadingX{h.X, lost, new(bool)}
		reply, err := h.Do(t.Context(), h.request("getUsersMe", ""))
		want := fmt.Sprintf("money: out, 401, unasked %v", unasked)
		if fault.SlugOf(err) != "x-unreachable" || reply.Lost != lost || log[len(log)-1] != want {
			t.Errorf("%d lost: %d, %q, %v", lost, reply.Lost, log, err)
		}
	}
}

func TestTheTokenIsFetchedAfterTheTolls(t *testing.T) {
	h := newHouse(t, quota.Limit{})
	var log []string
	h.Tolls = actions.Tolls(booth{"limits", &log, true})
	before := len(h.x.Ledger())
	if _, err := h.Do(t.Context(), h.request("getUsersMe", "")); fault.SlugOf(err) != "closed-limits" || !errors.Is(err, ports.ErrUnsent) {
		t.Errorf("a refused call: %v", err)
	}
	if n := len(h.x.Ledger()); n != before {
		t.Errorf("X was asked %d times", n-before)
	}
}

func TestTheClientsOwnLimit(t *testing.T) {
	h := newHouse(t, quota.Limit{Max: 2, Window: time.Hour})
	for range 2 {
		if _, _, err := h.do(h.request("getUsersMe", "")); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := h.do(h.request("getUsersMe", ""))
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Kind != fault.Limited || e.Slug != "limit-reached" || e.Wait <= 0 || e.Wait > time.Hour {
		t.Errorf("%+v", err)
	}
	other := h.request("getOpenApiSpec", "")
	other.App.ID = "app_2"
	if _, _, err := h.do(other); err != nil {
		t.Errorf("one application's calls are counted for another: %v", err)
	}
}
