package xsim

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Life of media, as X's samples show it.
const (
	uploadLife = 1295999 * time.Second
	mediaLife  = 24 * time.Hour
	segments   = 1000 // segment_index is 0 to 999
)

// A file is uploaded media: its size and its hash, never its bytes.
type file struct {
	id, key, owner, mediaType, category string
	declared                            int64 // total_bytes; negative if not told
	parts                               map[int]part
	states                              [][]byte // of the running hash, after so many segments in order
	size                                int64
	sum                                 string // SHA-256 of the whole, if the segments came in order
	finalized, expires                  time.Time
	alt                                 string
}

// A part is one segment as it arrived.
type part struct {
	size int64
	sum  string
}

// A studio keeps the media.
type studio struct {
	files map[string]*file
	keys  map[string]*file
}

func newStudio() studio { return studio{files: map[string]*file{}, keys: map[string]*file{}} }

// typeOf is the media type behind a key as X names it in includes.
func (m *studio) typeOf(key string) string {
	f := m.keys[key]
	switch {
	case f == nil || strings.HasSuffix(f.category, "image"):
		return "photo"
	case strings.HasSuffix(f.category, "gif"):
		return "animated_gif"
	}
	return "video"
}

func mediaRoutes() map[string]handler {
	return map[string]handler{
		"initializeMediaUpload": (*Sim).initializeMedia,
		"appendMediaUpload":     (*Sim).appendMedia,
		"finalizeMediaUpload":   (*Sim).finalizeMedia,
		"getMediaUploadStatus":  (*Sim).mediaStatus,
		"mediaUpload":           (*Sim).uploadAtOnce,
	}
}

var (
	mediaTypes = strings.Fields(`video/mp4 video/webm video/mp2t video/quicktime text/srt text/vtt image/jpeg image/gif
		image/bmp image/png image/webp image/pjpeg image/tiff model/gltf-binary model/vnd.usdz+zip`)
	mediaCategories = strings.Fields(`amplify_video tweet_gif tweet_image tweet_video dm_gif dm_image dm_video subtitles`)
	initializeNames = strings.Fields(`media_type media_category total_bytes additional_owners shared`)
)

// largest is X's size limit for a category, in bytes.
func largest(category string) int64 {
	switch {
	case strings.HasSuffix(category, "image"):
		return 5 << 20
	case strings.HasSuffix(category, "gif"):
		return 15 << 20
	}
	return 512 << 20
}

// start registers media; its key begins with a number for its kind.
func (s *Sim) start(owner, category, mediaType string, declared int64) *file {
	prefix := "7_"
	switch {
	case strings.HasSuffix(category, "image"):
		prefix = "3_"
	case strings.HasSuffix(category, "gif"):
		prefix = "16_"
	case category == "amplify_video":
		prefix = "13_"
	}
	f := &file{
		id: s.newID(), owner: owner, mediaType: mediaType, category: category, declared: declared,
		parts: map[int]part{}, states: [][]byte{fresh()}, expires: s.now().Add(uploadLife),
	}
	f.key = prefix + f.id
	s.media.files[f.id], s.media.keys[f.key] = f, f
	return f
}

// fresh is the state of a SHA-256 that has seen nothing.
func fresh() []byte {
	state, _ := sha256.New().(encoding.BinaryMarshaler).MarshalBinary() // never fails
	return state
}

func (s *Sim) initializeMedia(c *call) reply {
	for name := range c.body {
		if !slices.Contains(initializeNames, name) {
			return invalid(param{name, "", "$." + name + ": is not defined in the schema"})
		}
	}
	category, mediaType := c.text("media_category"), c.text("media_type")
	if category != "" && !slices.Contains(mediaCategories, category) {
		return invalid(param{"media_category", category, "$.media_category: does not have a value in the enumeration"})
	}
	if mediaType != "" && !slices.Contains(mediaTypes, mediaType) {
		return invalid(param{"media_type", mediaType, "$.media_type: does not have a value in the enumeration"})
	}
	declared := int64(-1)
	if v, ok := c.body["total_bytes"]; ok {
		n, _ := v.(json.Number)
		total, err := n.Int64()
		if err != nil || total < 0 || total > largest(category) {
			return invalid(param{"total_bytes", n.String(), "$.total_bytes: is too large for this media_category"})
		}
		declared = total
	}
	f := s.start(c.user(), category, mediaType, declared)
	s.noteBy(c, "media.initialized", f.id, details{
		"media_category": category, "media_type": mediaType, "total_bytes": strconv.FormatInt(declared, 10),
	})
	return data(object{"id": f.id, "media_key": f.key, "expires_after_secs": int(uploadLife / time.Second)})
}

// file finds the caller's own media that has not expired.
func (s *Sim) file(c *call, id string) (*file, reply, bool) {
	f, ok := s.media.files[id]
	if !ok || f.owner != c.user() || !s.now().Before(f.expires) {
		return nil, notFound("media", "id", id), false
	}
	return f, reply{}, true
}

func (s *Sim) appendMedia(c *call) reply {
	f, refusal, ok := s.file(c, c.params["id"])
	if !ok {
		return refusal
	}
	index, err := strconv.Atoi(c.upload.fields["segment_index"])
	switch {
	case err != nil || index < 0 || index >= segments:
		return invalid(param{"segment_index", c.upload.fields["segment_index"], "segment_index must be 0 to 999"})
	case !c.upload.found:
		return needed("media")
	case !f.finalized.IsZero():
		return invalid(param{"id", f.id, "The media has been finalized."})
	}
	f.take(index, c.upload)
	s.noteBy(c, "media.appended", f.id, details{
		"segment_index": strconv.Itoa(index), "bytes": strconv.FormatInt(c.upload.size, 10), "sha256": c.upload.sum,
		"encoding": c.upload.encoding,
	})
	return data(object{"expires_at": f.expires.Unix()})
}

// take files a segment. The running hash goes on if it is the next one, stays
// if it is a repetition, and is given up from a changed one onward.
func (f *file) take(index int, u received) {
	next := part{size: u.size, sum: u.sum}
	old, seen := f.parts[index]
	f.parts[index] = next
	switch {
	case seen && old == next:
	case index == len(f.states)-1 && u.base == index:
		f.states = append(f.states, u.state)
	case index < len(f.states):
		f.states = f.states[:index+1]
	}
}

func (s *Sim) finalizeMedia(c *call) reply {
	f, refusal, ok := s.file(c, c.params["id"])
	if !ok {
		return refusal
	}
	if !f.finalized.IsZero() {
		return data(s.mediaView(f))
	}
	var total int64
	for i := range len(f.parts) {
		p, ok := f.parts[i]
		if !ok {
			return invalid(param{"segment_index", strconv.Itoa(i), "Segments do not add up to provided total file size."})
		}
		total += p.size
	}
	if total == 0 || f.declared >= 0 && f.declared != total {
		return invalid(param{"total_bytes", strconv.FormatInt(f.declared, 10),
			"Segments do not add up to provided total file size."})
	}
	f.size, f.sum = total, f.whole()
	f.finalized, f.expires = s.now(), s.now().Add(mediaLife)
	s.noteBy(c, "media.finalized", f.id, details{
		"bytes": strconv.FormatInt(total, 10), "sha256": f.sum, "segments": strconv.Itoa(len(f.parts)),
	})
	return data(s.mediaView(f))
}

// whole is the SHA-256 of all segments, or "" if they did not come in order.
func (f *file) whole() string {
	if len(f.states) != len(f.parts)+1 {
		return ""
	}
	h := resumed(f.states[len(f.parts)])
	return hex.EncodeToString(h.Sum(nil))
}

// state is how far the processing of media has come, by the clock of the box.
func (s *Sim) state(f *file) string {
	since := s.now().Sub(f.finalized)
	switch {
	case f.finalized.IsZero():
		return "uploading"
	case strings.HasSuffix(f.category, "image") || f.category == "" || f.category == "subtitles":
		return "succeeded"
	case since < s.settings.processing/3:
		return "pending"
	case since < s.settings.processing:
		return "in_progress"
	}
	return "succeeded"
}

func (s *Sim) mediaView(f *file) object {
	view := object{
		"id": f.id, "media_key": f.key, "expires_after_secs": int(f.expires.Sub(s.now()) / time.Second),
	}
	if f.finalized.IsZero() {
		return view
	}
	view["size"] = f.size
	state := s.state(f)
	if strings.HasSuffix(f.category, "video") || strings.HasSuffix(f.category, "gif") {
		info := object{"state": state}
		switch state {
		case "pending":
			info["check_after_secs"] = 1
		case "in_progress":
			info["check_after_secs"] = 1
			info["progress_percent"] = int(100 * s.now().Sub(f.finalized) / s.settings.processing)
		default:
			info["progress_percent"] = 100
		}
		view["processing_info"] = info
	}
	return view
}

func (s *Sim) mediaStatus(c *call) reply {
	f, refusal, ok := s.file(c, c.query.Get("media_id"))
	if !ok {
		return refusal
	}
	return data(s.mediaView(f))
}

func (s *Sim) uploadAtOnce(c *call) reply {
	category := c.upload.fields["media_category"]
	switch {
	case !c.upload.found || c.upload.size == 0:
		return needed("media")
	case !slices.Contains(mediaCategories, category) || category == "amplify_video":
		return invalid(param{"media_category", category, "media_category: does not have a value in the enumeration"})
	case c.upload.size > largest(category):
		return invalid(param{"media", "", "The media is too large for this media_category"})
	}
	f := s.start(c.user(), category, c.upload.fields["media_type"], c.upload.size)
	f.size, f.sum = c.upload.size, c.upload.sum
	f.finalized, f.expires = s.now(), s.now().Add(mediaLife)
	s.noteBy(c, "media.finalized", f.id, details{
		"bytes": strconv.FormatInt(f.size, 10), "sha256": f.sum, "segments": "1", "encoding": c.upload.encoding,
	})
	return reply{status: http.StatusOK, body: object{"data": s.mediaView(f)}}
}
