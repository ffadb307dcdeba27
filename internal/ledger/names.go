package ledger

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"evalq/tasks"
)

// Owns reports whether a task in Redis belongs to a user: by the id that package
// client gives the tasks which it puts straight into Redis, or by its body. In a body
// that is JSON the user's field at the top, or in the payload of an envelope, names the
// owner, and what else is in it may name other people. Where no such field is, any
// field that names the user counts. An id that went through a float64 belongs to all
// whom it may stand for.
func Owns(taskID string, body []byte, user int64) bool {
	u := userID{user, strconv.FormatInt(user, 10)}
	if u.inTaskID(taskID) {
		return true
	}
	var top map[string]json.RawMessage
	if tasks.CheckJSON(body) == nil && json.Unmarshal(body, &top) == nil {
		inner := map[string]json.RawMessage{}
		_ = json.Unmarshal(top["payload"], &inner) // another payload has no field
		owners := append(usersIn(top), usersIn(inner)...)
		if len(owners) > 0 {
			return slices.ContainsFunc(owners, u.is)
		}
	}
	return u.mentioned(body) == named
}

// usersIn gives the ids in the fields of a user.
func usersIn(fields map[string]json.RawMessage) (ids []string) {
	for name, value := range fields {
		var number json.Number
		if isUserField(name) && json.Unmarshal(value, &number) == nil && number != "" {
			ids = append(ids, number.String())
		}
		var text string
		if isUserField(name) && json.Unmarshal(value, &text) == nil && text != "" {
			ids = append(ids, strings.TrimSpace(text))
		}
	}
	return ids
}

// mention says how sure it is that something is about a user.
type mention int

const (
	none mention = iota
	// doubtful: the user's id occurs, and nothing says what it is the id of.
	doubtful
	// named: the id is said to be a user's.
	named
)

// Mentions says whether something that could not be read may be about a user, by any
// reading of it: JSON of any shape and depth, JSON or base64 inside a string, a message
// of Asynq's, a text. Doubt counts too, and is told apart.
func Mentions(q tasks.Quarantined, body []byte, user int64) (about, doubt bool) {
	u := userID{user, strconv.FormatInt(user, 10)}
	m := u.mentioned(body)
	if u.inTaskID(q.TaskID) || u.inText([]byte(q.Reason), named) == named {
		m = named
	}
	if _, _, err := tasks.ParseTaskID(q.TaskID); err != nil && !strings.HasPrefix(q.TaskID, "adopt.") {
		m = max(m, u.inText([]byte(q.TaskID), doubtful))
	}
	return m != none, m == doubtful
}

// userID is an id with its digits.
type userID struct {
	n    int64
	text string
}

// inTaskID reports whether package client made the id for a task of the user.
func (u userID) inTaskID(id string) bool {
	part := strings.Split(id, ".")
	return len(part) >= 4 && part[0] == "adopt" && part[2] == u.text
}

// maxDepth bounds how deep the containers of JSON are walked. What is deeper is read as
// a text.
const maxDepth = 1000

// maxNested bounds how often a string is read as a text of its own.
const maxNested = 8

func (u userID) mentioned(body []byte) mention { return u.inBody(body, maxNested) }

// inBody reads a body as JSON, and else as a text.
func (u userID) inBody(body []byte, nested int) mention {
	m, ok := u.inJSON(body, nested)
	if ok {
		return m
	}
	m = max(m, u.inText(body, doubtful))
	if bytes.IndexByte(body, 0) >= 0 { // such as UTF-16
		m = max(m, u.inText(bytes.ReplaceAll(body, []byte{0}, nil), doubtful))
	}
	return m
}

// inJSON walks through JSON, token by token, so that fields which occur twice count
// both. It is not ok when body is not one or more JSON values that nest a container.
func (u userID) inJSON(body []byte, nested int) (found mention, ok bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var path []place
	for containers := 0; ; {
		t, err := d.Token()
		if err != nil {
			// What is behind a broken end was not looked at.
			return found, containers > 0 && len(path) == 0 && d.InputOffset() >= int64(len(bytes.TrimRight(body, " \t\r\n")))
		}
		if delim, is := t.(json.Delim); is {
			switch delim {
			case '{', '[':
				containers++
				if len(path) == maxDepth {
					return found, false
				}
				at := place{object: delim == '{', about: noField}
				if len(path) > 0 {
					at.about = path[len(path)-1].about
				}
				path = append(path, at)
			default:
				path = path[:len(path)-1]
				if len(path) > 0 {
					path[len(path)-1].valueDone()
				}
			}
			continue
		}
		at := &place{}
		if len(path) > 0 {
			at = &path[len(path)-1]
		}
		if text, is := t.(string); is && at.object && !at.value {
			found = max(found, u.inKey(text))
			at.about, at.value = fieldOf(text, path), true
			continue
		}
		found = max(found, u.inValue(t, at.about, nested))
		at.valueDone()
	}
}

// place is where a walk through JSON is.
type place struct {
	object, value bool // in an object, and there behind a name
	about         field
}

func (p *place) valueDone() { p.value = false }

// field says what the name in front of a value makes of it.
type field int

const (
	noField      field = iota // there is none, or that of an envelope
	unknownField              // it may name a user
	userField                 // it names a user
	otherField                // it names something else
)

// envelopes are fields that say nothing of what is in them.
var envelopes = []string{"payload", "data", "message", "body", "args", "params", "content", "value", "job", "task", "event", "request", "input"}

// others are parts of the names of what is no person.
var others = []string{"report", "record", "interview", "question", "answer", "attempt", "version", "revision", "score", "count",
	"order", "size", "duration", "time", "date", "retr", "page", "limit", "port", "pid", "seq", "delivery", "weight", "year"}

// fieldOf says what a name is, given the containers around it: what is inside a user's
// field is the user's, such as {"user": {"id": 7}}.
func fieldOf(name string, path []place) field {
	plain := plainName(name)
	switch {
	case isUserField(name):
		return userField
	case isOtherField(plain):
		return otherField
	case len(path) > 1 && path[len(path)-2].about == userField:
		return userField
	case slices.Contains(envelopes, plain):
		return noField
	}
	return unknownField
}

func isOtherField(plain string) bool {
	return slices.ContainsFunc(others, func(part string) bool { return strings.Contains(plain, part) })
}

// plainName is a name without signs and case.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// isUserField reports whether a name is one of a user's id, such as user_id, userId,
// USER-ID, users or owner_user_id.
func isUserField(name string) bool {
	plain := plainName(name)
	return plain == "uid" || plain == "user" || plain == "users" ||
		strings.HasSuffix(plain, "userid") || strings.HasSuffix(plain, "userids")
}

// inKey looks at the name of a field, which a map by user has an id as.
func (u userID) inKey(name string) mention {
	if u.is(name) {
		return doubtful
	}
	return none
}

func (u userID) inValue(t json.Token, about field, nested int) mention {
	switch v := t.(type) {
	case json.Number:
		if u.is(v.String()) {
			return certainty(about)
		}
	case string:
		if u.is(strings.TrimSpace(v)) {
			return certainty(about)
		}
		if nested == 0 {
			return none
		}
		return u.inString(v, about, nested-1)
	}
	return none
}

func certainty(about field) mention {
	switch about {
	case userField:
		return named
	case otherField:
		return none
	}
	return doubtful
}

// inString looks into a string that may hold a text of its own.
func (u userID) inString(v string, about field, nested int) mention {
	if m, ok := u.inJSON([]byte(v), nested); ok {
		return m
	}
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if raw, err := e.DecodeString(v); err == nil && len(raw) > 8 {
			if m, ok := u.inJSON(raw, nested); ok {
				return m
			}
		}
	}
	if about == noField {
		return u.inText([]byte(v), doubtful)
	}
	return u.inText([]byte(v), named) // it may be what a person said, with any number in it
}

// number is a number in a text, with the word before it and what is between them.
var number = regexp.MustCompile(`(?:([\pL_][\pL_\-]*)([^\pL\pN]{0,8}))?([0-9]+(?:\.[0-9]+)?(?:[eE]\+?[0-9]+)?)`)

// inText looks at the numbers of a text. With least named, a number counts only behind
// a word for a user; with doubtful, behind every word that is not known for something
// else. Digits that stand in the middle of a word are no number.
func (u userID) inText(text []byte, least mention) mention {
	found := none
	for _, at := range number.FindAllSubmatchIndex(text, -1) {
		if !u.is(string(text[at[6]:at[7]])) {
			continue
		}
		word, glued := "", false
		if at[2] >= 0 {
			word, glued = string(text[at[2]:at[3]]), at[4] == at[5]
		}
		if next, _ := utf8.DecodeRune(text[at[7]:]); unicode.IsLetter(next) {
			glued = true
		}
		switch {
		case isUserField(word):
			return named
		case least == doubtful && !glued && !isOtherField(plainName(word)):
			found = doubtful
		}
	}
	return found
}

// maxDigits bounds the text of an id, whose sign, zeros and exponent need no more.
const maxDigits = 40

// is reports whether a text is the id, by any reading of it: as the original consumer
// reads a number, which cuts a fraction off, or after it went through a float64, which
// changes those above 2^53.
func (u userID) is(text string) bool {
	if text == u.text {
		return true
	}
	if len(text) > maxDigits || len(text) < len(u.text) && !strings.ContainsAny(text, "eE-") {
		return false
	}
	if _, exponent, ok := strings.Cut(strings.ToLower(text), "e"); ok {
		if e, err := strconv.Atoi(exponent); err != nil || e < -maxDigits || e > maxDigits {
			return false
		}
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok || strings.ContainsAny(text, "/_xXoObBpP") {
		return false
	}
	whole := new(big.Int).Quo(r.Num(), r.Denom())
	if whole.Cmp(big.NewInt(u.n)) == 0 {
		return true
	}
	if u.n < 1<<53 || !whole.IsInt64() && !whole.IsUint64() {
		return false
	}
	f, _ := r.Float64()
	return f == float64(u.n)
}
