package xhttp

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"

	"perch/ports"
)

// unpack returns the body as it was before X packed it with gzip, which nobody asks
// it to do: what is in an answer matters to limits, money and idempotency. What
// would be too long is left as it is, and so is any other encoding.
func unpack(header http.Header, r ports.Reply, body []byte) ([]byte, error) {
	switch strings.ToLower(strings.Join(header["Content-Encoding"], ",")) {
	case "gzip", "x-gzip":
	default:
		return body, nil
	}
	plain := body
	if len(body) > 0 {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, errNotJSON
		}
		plain, err = io.ReadAll(io.LimitReader(z, mostWhole+1))
		if len(plain) > mostWhole {
			return body, nil
		}
		if err != nil {
			return nil, errNotJSON
		}
	}
	header.Del("Content-Encoding")
	delete(r.Header, "Content-Encoding")
	return plain, nil
}
