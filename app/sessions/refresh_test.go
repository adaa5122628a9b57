package sessions_test

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"perch/app/sessions"
	"perch/domain/client"
	"perch/domain/secret"
	"perch/domain/session"
)

func TestRefreshTokensRotate(t *testing.T) {
	s := newServer(t)
	first := s.signedIn()
	second, err := s.refresh(first.Refresh)
	if err != nil || second.Refresh.Equal(first.Refresh) || !s.goesOn(second) {
		t.Fatal(err)
	}
	lost, err := s.refresh(first.Refresh)
	if err != nil || !lost.Refresh.Equal(second.Refresh) {
		t.Fatalf("a lost reply cannot be asked for again: %v", err)
	}
	third, err := s.refresh(second.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.refresh(first.Refresh)
	named(t, err, "invalid-grant")
	if s.goesOn(third) {
		t.Error("an old refresh token leaves the session alive")
	}
	_, err = s.refresh(third.Refresh)
	named(t, err, "invalid-grant")
}

func TestNobodyEndsASessionByGuessing(t *testing.T) {
	s := newServer(t)
	tokens := s.signedIn()
	text := tokens.Refresh.Reveal()
	for _, guess := range []string{text + "x", text[:len(text)-1], strings.Replace(text, ".", ".x", 1), "rt_" + text, ""} {
		_, err := s.refresh(secret.New(guess))
		named(t, err, "invalid-grant")
	}
	_, err := s.Token(t.Context(), sessions.TokenRequest{GrantType: "refresh_token", ClientID: s.other, Refresh: tokens.Refresh})
	named(t, err, "invalid-grant")
	if !s.goesOn(tokens) {
		t.Error("a guess ended the session")
	}
}

func TestTabsThatRefreshAtOnceAgree(t *testing.T) {
	s := newServer(t)
	first := s.signedIn()
	var all sync.WaitGroup
	got := make(chan sessions.Tokens, 20)
	for range 20 {
		all.Go(func() {
			tokens, err := s.refresh(first.Refresh)
			if err != nil {
				t.Error(err)
			}
			got <- tokens
		})
	}
	all.Wait()
	close(got)
	next := <-got
	for tokens := range got {
		if !tokens.Refresh.Equal(next.Refresh) {
			t.Error("two tabs got different refresh tokens")
		}
	}
	if _, err := s.refresh(next.Refresh); err != nil {
		t.Error(err)
	}
}

func TestRevoke(t *testing.T) {
	s := newServer(t)
	for name, which := range map[string]func(sessions.Tokens) secret.Text{
		"the access token":  func(t sessions.Tokens) secret.Text { return t.Access },
		"the refresh token": func(t sessions.Tokens) secret.Text { return t.Refresh },
	} {
		tokens := s.signedIn()
		if err := s.Revoke(t.Context(), s.other, secret.Text{}, which(tokens), netip.Addr{}); err != nil || !s.goesOn(tokens) {
			t.Errorf("%s, by another client: %v, goes on: %v", name, err, s.goesOn(tokens))
		}
		if err := s.Revoke(t.Context(), s.id, secret.Text{}, which(tokens), netip.Addr{}); err != nil || s.goesOn(tokens) {
			t.Errorf("%s: %v, goes on: %v", name, err, s.goesOn(tokens))
		}
	}
	if err := s.Revoke(t.Context(), s.id, secret.Text{}, secret.New("unknown"), netip.Addr{}); err != nil {
		t.Errorf("an unknown token: %v", err)
	}
	named(t, s.Revoke(t.Context(), "pk_x", secret.Text{}, secret.New("x"), netip.Addr{}), "invalid-client")
}

func TestASuspendedApplicationIsRefusedAtOnce(t *testing.T) {
	s := newServer(t)
	tokens := s.signedIn()
	_, err := s.apps.Change(t.Context(), s.app.ID, func(a client.App) client.App {
		a.Status = client.Suspended
		return a
	})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = s.Verify(t.Context(), session.Presented{Token: tokens.Access})
	named(t, err, "app-suspended")
	_, err = s.refresh(tokens.Refresh)
	named(t, err, "app-suspended")
}

func TestAccessTokensExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		tokens := s.signedIn()
		time.Sleep(tokens.TTL + time.Second)
		if s.goesOn(tokens) {
			t.Error("an access token outlives its time")
		}
		if again, err := s.refresh(tokens.Refresh); err != nil || !s.goesOn(again) {
			t.Errorf("the session does not go on: %v", err)
		}
	})
}
