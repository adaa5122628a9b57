package xhttp

import (
	"net/http"

	"perch/domain/xapi"
)

// The groups of actions. What goes wrong with one says nothing of the others,
// and none takes the room of another.
const (
	uploading = "uploads" // and downloads: what moves files
	streaming = "streams"
	messaging = "messages"
	reading   = "reads"
	writing   = "writes"
)

func groupOf(a xapi.Action) string {
	switch {
	case a.Stream:
		return streaming
	case a.Body == xapi.Upload || a.Binary:
		return uploading
	case a.Tag == "Direct Messages" || a.Tag == "Chat":
		return messaging
	case a.Method == http.MethodGet:
		return reading
	}
	return writing
}
