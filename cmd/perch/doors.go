package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"perch/adapters/httpapi"
	"perch/cmd/internal/config"
)

// A door is a listener and who answers there.
type door struct {
	ln    net.Listener
	serve func(net.Listener) error
	stop  func(context.Context) error // lets requests end until the context does
}

// listen opens the address that the setting names.
func listen(ctx context.Context, setting, address string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("something listens on %s already, perhaps another Perch; "+
			"stop it, or choose another address with %s", address, setting)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s may not be listened on: ports below 1024 belong to root; "+
			"choose another with %s", address, setting)
	case err != nil:
		return nil, fmt.Errorf("%s cannot be listened on (%s); choose another address with %s",
			address, inWords(err), setting)
	}
	return ln, nil
}

// urlOf is how a listener that speaks plain HTTP is reached from this machine.
func urlOf(ln net.Listener) string { return "http://" + hostOf(ln) }

// hostOf is host and port under which this machine reaches the listener.
func hostOf(ln net.Listener) string {
	host, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		return ln.Addr().String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// whereIs says where Perch is reached by a listener.
func whereIs(cfg config.Config, ln net.Listener) string {
	at, ok := ln.Addr().(*net.TCPAddr)
	if ok && at.IP.IsUnspecified() {
		return fmt.Sprintf("every address of this machine, port %d", at.Port)
	}
	return cfg.Scheme() + hostOf(ln)
}

// perchDoor is one of Perch's own.
func perchDoor(ln net.Listener, s *httpapi.Server) door { return door{ln, s.Serve, s.Shutdown} }

// plainDoor is for handlers of net/http. before runs when it is to stop.
func plainDoor(ln net.Listener, h http.Handler, before func()) door {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	closeUnused(s)
	return door{
		ln: ln,
		serve: func(ln net.Listener) error {
			if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
		stop: func(ctx context.Context) error {
			before()
			err := s.Shutdown(ctx)
			return errors.Join(err, s.Close())
		},
	}
}

// closeUnused has the server close connections of which it has not read a request
// yet when it stops. Browsers make some ahead of need, and it would wait for them.
func closeUnused(s *http.Server) {
	var mu sync.Mutex
	unused, stopping := map[net.Conn]bool{}, false
	s.ConnState = func(c net.Conn, is http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case is != http.StateNew:
			delete(unused, c)
		case stopping:
			_ = c.Close()
		default:
			unused[c] = true
		}
	}
	s.RegisterOnShutdown(func() {
		mu.Lock()
		defer mu.Unlock()
		stopping = true
		for c := range unused {
			_ = c.Close()
		}
	})
}

// stops are the two wishes of whoever stops a program: please, and at once.
type stops struct {
	asked, insisted context.Context
	release         func()
}

// untilStopped returns the wishes: the first SIGINT or SIGTERM asks, the second
// insists. The end of ctx asks, too.
func untilStopped(ctx context.Context) stops {
	asked, ask := context.WithCancel(ctx)
	insisted, insist := context.WithCancel(context.WithoutCancel(ctx))
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ended := make(chan struct{})
	go func() {
		for _, then := range []context.CancelFunc{ask, insist} {
			select {
			case <-signals:
				then()
			case <-ended:
				return
			}
		}
	}()
	return stops{asked, insisted, sync.OnceFunc(func() {
		signal.Stop(signals)
		close(ended)
		ask()
		insist()
	})}
}

// open serves all doors until a stop is asked for or one of them fails. Then
// all are closed together: requests may take grace to end, or until a stop is
// insisted on.
func open(s stops, grace time.Duration, doors []door) error {
	failed := make(chan error, len(doors))
	var serving sync.WaitGroup
	for _, d := range doors {
		serving.Go(func() {
			if err := d.serve(d.ln); err != nil {
				failed <- fmt.Errorf("listening on %s ended: %w", d.ln.Addr(), err)
			}
		})
	}
	var err error
	select {
	case <-s.asked.Done():
	case err = <-failed:
	}
	ctx, cancel := context.WithTimeout(s.insisted, grace)
	defer cancel()
	cut := make([]error, len(doors))
	var stopping sync.WaitGroup
	for i, d := range doors {
		stopping.Go(func() { cut[i] = d.stop(ctx) })
	}
	stopping.Wait()
	serving.Wait()
	if err == nil && errors.Join(cut...) != nil {
		err = errCut
	}
	return err
}

// errCut says that some requests did not end by themselves.
var errCut = errors.New("requests were still under way and have been cut off")
