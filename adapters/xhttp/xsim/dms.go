package xsim

import (
	"slices"
	"strings"
	"time"
)

// A conversation is between two users or in a group.
type conversation struct {
	id      string
	members []string
}

// A message is one direct message event.
type message struct {
	id, conversation, sender, text string
	at                             time.Time
	hiddenFrom                     []string // who deleted it for themselves
}

// A mailbox keeps direct messages.
type mailbox struct {
	conversations map[string]*conversation
	events        []*message
}

func newMailbox() mailbox { return mailbox{conversations: map[string]*conversation{}} }

func dmRoutes() map[string]handler {
	return map[string]handler{
		"createDirectMessagesConversation":     (*Sim).createGroup,
		"createDirectMessagesByParticipantId":  (*Sim).messageUser,
		"createDirectMessagesByConversationId": (*Sim).messageConversation,
		"getDirectMessagesEvents": func(s *Sim, c *call) reply {
			return s.dmPage(c, func(*message) bool { return true })
		},
		"getDirectMessagesEventsByConversationId": func(s *Sim, c *call) reply {
			return s.dmPage(c, func(m *message) bool { return m.conversation == c.params["id"] })
		},
		"getDirectMessagesEventsByParticipantId": func(s *Sim, c *call) reply {
			id := pairID(c.user(), c.params["participant_id"])
			return s.dmPage(c, func(m *message) bool { return m.conversation == id })
		},
		"getDirectMessagesEventsById": (*Sim).dmByID,
		"deleteDirectMessagesEvents":  (*Sim).deleteDM,
	}
}

// pairID names the conversation of two users, whoever starts it.
func pairID(a, b string) string {
	if later(a, b) {
		a, b = b, a
	}
	return a + "-" + b
}

// conversation finds one, or starts it.
func (s *Sim) conversation(id string, members ...string) *conversation {
	v, ok := s.dms.conversations[id]
	if !ok {
		v = &conversation{id: id, members: members}
		s.dms.conversations[id] = v
	}
	return v
}

func (s *Sim) createGroup(c *call) reply {
	ids, _ := c.body["participant_ids"].([]any)
	members := []string{c.user()}
	for _, v := range ids {
		id, _ := v.(string)
		if s.people.byID[id] == nil {
			return notFound("user", "participant_ids", id)
		}
		if !slices.Contains(members, id) {
			members = append(members, id)
		}
	}
	if c.text("conversation_type") != "Group" || len(members) < 2 {
		return invalid(param{"participant_ids", "", "A Group conversation needs at least one other participant"})
	}
	inner, _ := c.body["message"].(map[string]any)
	return s.sendDM(c, s.conversation("g"+s.newID(), members...), inner)
}

func (s *Sim) messageUser(c *call) reply {
	other := c.params["participant_id"]
	if s.people.byID[other] == nil {
		return notFound("user", "participant_id", other)
	}
	if s.people.blocks.has(other, c.user()) {
		return forbidden("You cannot send messages to this user.")
	}
	return s.sendDM(c, s.conversation(pairID(c.user(), other), c.user(), other), c.body)
}

func (s *Sim) messageConversation(c *call) reply {
	id := c.params["dm_conversation_id"]
	v, ok := s.dms.conversations[id]
	if !ok || !slices.Contains(v.members, c.user()) {
		return notFound("dm_conversation", "dm_conversation_id", id)
	}
	return s.sendDM(c, v, c.body)
}

func (s *Sim) sendDM(c *call, v *conversation, body map[string]any) reply {
	text, _ := body["text"].(string)
	attachments, _ := body["attachments"].([]any)
	if strings.TrimSpace(text) == "" && len(attachments) == 0 {
		return invalid(param{"text", "", "One of `text` or `attachments` is required."})
	}
	m := &message{id: s.newID(), conversation: v.id, sender: c.user(), text: text, at: s.now()}
	s.dms.events = append(s.dms.events, m)
	s.noteBy(c, "dm.created", m.id, details{"conversation": v.id})
	return data(object{"dm_conversation_id": v.id, "dm_event_id": m.id})
}

// readable reports whether the caller takes part and has not deleted the message.
func (s *Sim) readable(c *call, m *message) bool {
	return slices.Contains(s.dms.conversations[m.conversation].members, c.user()) &&
		!slices.Contains(m.hiddenFrom, c.user())
}

func (s *Sim) dmView(c *call, m *message) object {
	full := object{
		"sender_id": m.sender, "created_at": stamp(m.at), "dm_conversation_id": m.conversation,
		"participant_ids": s.dms.conversations[m.conversation].members,
	}
	return keep(object{"id": m.id, "event_type": "MessageCreate", "text": m.text}, full, c.ids("dm_event.fields"))
}

func (s *Sim) dmPage(c *call, pass func(*message) bool) reply {
	var mine []*message
	for _, m := range slices.Backward(s.dms.events) {
		if s.readable(c, m) && pass(m) {
			mine = append(mine, m)
		}
	}
	some, meta, refusal, ok := page(c, mine)
	if !ok {
		return refusal
	}
	var views []object
	senders := newSet()
	for _, m := range some {
		views = append(views, s.dmView(c, m))
		if c.expands("sender_id") {
			senders.add(m.sender)
		}
	}
	return paged(views, meta, s.included(c, senders.list, nil, nil))
}

func (s *Sim) dmOf(c *call) *message {
	for _, m := range s.dms.events {
		if m.id == c.params["event_id"] && s.readable(c, m) {
			return m
		}
	}
	return nil
}

func (s *Sim) dmByID(c *call) reply {
	m := s.dmOf(c)
	if m == nil {
		return missing("dm_event", "event_id", c.params["event_id"])
	}
	return data(s.dmView(c, m))
}

func (s *Sim) deleteDM(c *call) reply {
	m := s.dmOf(c)
	if m == nil {
		return notFound("dm_event", "event_id", c.params["event_id"])
	}
	m.hiddenFrom = append(m.hiddenFrom, c.user())
	s.noteBy(c, "dm.deleted", m.id, nil)
	return data(object{"deleted": true})
}
