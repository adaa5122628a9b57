package sqlstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// A listener hears PostgreSQL's notifications, on a connection of its own that
// is there only while somebody waits for them.
type listener struct {
	settings *pgx.ConnConfig
	turn     chan struct{} // held by whoever has the connection
	conn     *pgx.Conn     // nil: there is none
}

func newListener(settings *pgx.ConnConfig) *listener {
	return &listener{settings: settings.Copy(), turn: make(chan struct{}, 1)}
}

// wait returns when there was a notification, or when it has begun to listen:
// there may have been some before.
func (l *listener) wait(ctx context.Context) error {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return unavailable(ctx, ctx.Err())
	}
	if l.conn == nil {
		return l.begin(ctx)
	}
	if _, err := l.conn.WaitForNotification(ctx); err != nil {
		l.end()
		return unavailable(ctx, err)
	}
	return nil
}

func (l *listener) begin(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, connectPatience)
	defer cancel()
	if l.conn, err = pgx.ConnectConfig(ctx, l.settings); err != nil {
		l.conn = nil
		return unavailable(ctx, err)
	}
	if _, err = l.conn.Exec(ctx, "LISTEN perch_changes"); err != nil {
		l.end()
		return unavailable(ctx, err)
	}
	return nil
}

// end gives the connection up. Saying goodbye may take a server that has fallen
// silent for ever.
func (l *listener) end() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.conn.Close(ctx) // it is of no use, whatever it says
	l.conn = nil
}

// close gives up a connection that nobody waits on; who waits does so itself.
func (l *listener) close() error {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
		if l.conn != nil {
			l.end()
		}
	default:
	}
	return nil
}
