package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"perch/domain/client"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/domain/user"
	"perch/domain/xapp"
	"perch/ports"
)

// magic begins an entry. The digest of what follows the first line tells whether
// all of it reached the disk.
const magic = "perch-renewal-1"

// entry is a renewal as it is kept; times are microseconds since 1970.
type entry struct {
	Attempt    string `json:"attempt"`
	Grant      string `json:"grant"`
	App        string `json:"app"`
	XApp       string `json:"xapp"`
	User       string `json:"user"`
	Generation int64  `json:"generation"`
	Access     string `json:"access_box"`
	Refresh    string `json:"refresh_box"`
	Scopes     string `json:"scopes"`
	Expires    int64  `json:"expires"`
	At         int64  `json:"at"`
}

func encode(r ports.Renewal) ([]byte, error) {
	body, err := json.Marshal(entry{
		Attempt: r.Attempt, Grant: string(r.Grant), App: string(r.App), XApp: string(r.XApp), User: string(r.User),
		Generation: r.Generation, Access: string(r.Pair.Access), Refresh: string(r.Pair.Refresh),
		Scopes: string(r.Pair.Scopes), Expires: r.Pair.Expires.UnixMicro(), At: r.At.UnixMicro(),
	})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	head := fmt.Sprintf("%s %s %d\n", magic, hex.EncodeToString(sum[:]), len(body))
	return append([]byte(head), body...), nil
}

// decode reports whether the text begins with a whole renewal. What is behind it
// is the rest of the reservation.
func decode(text []byte) (ports.Renewal, bool) {
	head, rest, found := bytes.Cut(text, []byte("\n"))
	if !found {
		return ports.Renewal{}, false
	}
	var word, digest string
	var size int
	if n, err := fmt.Sscanf(string(head), "%s %s %d", &word, &digest, &size); n != 3 || err != nil ||
		word != magic || size < 0 || size > len(rest) {
		return ports.Renewal{}, false
	}
	sum := sha256.Sum256(rest[:size])
	var e entry
	if hex.EncodeToString(sum[:]) != digest || json.Unmarshal(rest[:size], &e) != nil {
		return ports.Renewal{}, false
	}
	return e.renewal(), true
}

func (e entry) renewal() ports.Renewal {
	return ports.Renewal{
		Attempt: e.Attempt, Grant: oauth.GrantID(e.Grant), App: client.AppID(e.App), XApp: xapp.ID(e.XApp),
		User: user.ID(e.User), Generation: e.Generation,
		Pair: oauth.Pair{
			Access: secret.Box(e.Access), Refresh: secret.Box(e.Refresh), Scopes: oauth.Scopes(e.Scopes),
			Expires: time.UnixMicro(e.Expires).UTC(),
		},
		At: time.UnixMicro(e.At).UTC(),
	}
}
