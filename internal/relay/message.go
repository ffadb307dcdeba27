package relay

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of the fields of Asynq's message that matter here. All of texts are
// UTF-8, or Asynq refuses the message.
const (
	fieldID      protowire.Number = 3
	fieldQueue   protowire.Number = 4
	fieldHeaders protowire.Number = 15
)

var texts = map[protowire.Number]bool{1: true, fieldID: true, fieldQueue: true, 7: true, 10: true, 14: true}

// message is what a task's message says of itself. Ledger is empty for one that
// no ledger has handed out.
type message struct{ id, queue, ledger string }

// readMessage reads a message as Asynq does; what it cannot read, Asynq cannot
// either. Asynq's own reader is not for others to call.
func readMessage(b []byte) (m message, ok bool) {
	ok = eachField(b, func(n protowire.Number, t protowire.Type, v []byte) bool {
		if t != protowire.BytesType {
			return true
		}
		switch n {
		case fieldID:
			m.id = string(v)
		case fieldQueue:
			m.queue = string(v)
		case fieldHeaders:
			return readHeader(v, &m)
		}
		return !texts[n] || utf8.Valid(v)
	})
	return m, ok
}

// readHeader reads an entry of the headers: field 1 is its name, 2 its value.
func readHeader(b []byte, m *message) bool {
	var entry [3]string
	ok := eachField(b, func(n protowire.Number, t protowire.Type, v []byte) bool {
		if t != protowire.BytesType || n > 2 {
			return true
		}
		entry[n] = string(v)
		return utf8.Valid(v)
	})
	if entry[1] == HeaderLedger {
		m.ledger = entry[2]
	}
	return ok
}

// eachField calls f with each field; the value is given for those of bytes. It
// is false when b is not well formed or f is.
func eachField(b []byte, f func(protowire.Number, protowire.Type, []byte) bool) bool {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		size := protowire.ConsumeFieldValue(number, kind, b)
		if size < 0 {
			return false
		}
		var value []byte
		if kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(b)
		}
		if !f(number, kind, value) {
			return false
		}
		b = b[size:]
	}
	return true
}
