package xsim

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"perch/domain/xapi"
)

// maxJSON is the largest JSON body the box reads, in bytes; uploads have no such limit.
const maxJSON = 1 << 20

// read takes the body in the form the action wants. It runs without the lock:
// a slow client holds up nobody else.
func (s *Sim) read(c *call) (reply, bool) {
	switch c.act.Body {
	case xapi.JSON:
		return c.readJSON()
	case xapi.Upload:
		return s.readUpload(c)
	case xapi.NoBody:
	}
	return reply{}, true
}

func (c *call) readJSON() (reply, bool) {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return invalid(param{"content-type", c.r.Header.Get("Content-Type"),
			"The request body must be application/json"}), false
	}
	dec := json.NewDecoder(io.LimitReader(c.r.Body, maxJSON))
	dec.UseNumber()
	if err := dec.Decode(&c.body); err != nil || c.body == nil {
		return invalid(param{"", "", "The request body is not a JSON object"}), false
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return invalid(param{"", "", "The request body is more than one JSON object"}), false
	}
	return reply{}, true
}

// tooLarge is what the edge in front of X says, with no body at all.
func tooLarge() reply { return reply{status: http.StatusRequestEntityTooLarge, empty: true} }
