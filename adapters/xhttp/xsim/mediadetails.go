package xsim

import "strconv"

func mediaDetailRoutes() map[string]handler {
	return map[string]handler{
		"createMediaMetadata":   (*Sim).describeMedia,
		"createMediaSubtitles":  (*Sim).addSubtitles,
		"deleteMediaSubtitles":  (*Sim).removeSubtitles,
		"getMediaByMediaKey":    (*Sim).mediaByKey,
		"getMediaByMediaKeys":   (*Sim).mediaByKeys,
		"chatMediaUploadAppend": (*Sim).appendChatMedia,
	}
}

// describeMedia keeps the alternative text; the other metadata is only echoed.
func (s *Sim) describeMedia(c *call) reply {
	f, refusal, ok := s.file(c, c.text("id"))
	if !ok {
		return refusal
	}
	metadata, ok := c.body["metadata"].(map[string]any)
	if !ok {
		metadata = object{}
	}
	if alt, ok := metadata["alt_text"].(map[string]any); ok {
		text, _ := alt["text"].(string)
		if len([]rune(text)) > 1000 {
			return invalid(param{"metadata.alt_text.text", "", "The alternative text may have up to 1000 characters"})
		}
		f.alt = text
	}
	s.noteBy(c, "media.described", f.id, nil)
	return data(object{"id": f.id, "associated_metadata": metadata})
}

func (s *Sim) addSubtitles(c *call) reply {
	f, refusal, ok := s.file(c, c.text("id"))
	if !ok {
		return refusal
	}
	subtitles, ok := c.body["subtitles"].(map[string]any)
	if !ok {
		subtitles = object{}
	}
	s.noteBy(c, "media.subtitles.created", f.id, nil)
	return data(object{
		"id": f.id, "media_category": c.text("media_category"), "associated_subtitles": subtitles,
	})
}

func (s *Sim) removeSubtitles(c *call) reply {
	f, refusal, ok := s.file(c, c.text("id"))
	if !ok {
		return refusal
	}
	s.noteBy(c, "media.subtitles.deleted", f.id, nil)
	return data(object{"deleted": true})
}

func (s *Sim) keyView(c *call, f *file) object {
	full := object{
		"alt_text": f.alt, "width": 640, "height": 480, "url": "https://pbs.twimg.com/media/" + f.key,
		"public_metrics": object{"view_count": 0}, "duration_ms": 1000,
	}
	return keep(object{"media_key": f.key, "type": s.media.typeOf(f.key)}, full, c.ids("media.fields"))
}

func (s *Sim) mediaByKey(c *call) reply {
	f := s.media.keys[c.params["media_key"]]
	if f == nil {
		return missing("media", "media_key", c.params["media_key"])
	}
	return data(s.keyView(c, f))
}

func (s *Sim) mediaByKeys(c *call) reply {
	wanted := c.ids("media_keys")
	if n := len(wanted); n == 0 || n > 100 {
		return invalid(param{"media_keys", "", "The `media_keys` query parameter takes 1 to 100 values"})
	}
	var found, errs []object
	for _, key := range wanted {
		if f := s.media.keys[key]; f != nil {
			found = append(found, s.keyView(c, f))
			continue
		}
		errs = append(errs, absent("media", "media_keys", key))
	}
	return partial(found, errs)
}

// appendChatMedia writes down what arrived; encrypted chat has no further life in the box.
func (s *Sim) appendChatMedia(c *call) reply {
	if !c.upload.found {
		return needed("media")
	}
	s.noteBy(c, "media.appended", c.params["id"], details{
		"segment_index": c.upload.fields["segment_index"], "bytes": strconv.FormatInt(c.upload.size, 10),
		"sha256": c.upload.sum, "encoding": c.upload.encoding,
	})
	return data(object{"expires_at": s.now().Add(mediaLife).Unix()})
}
