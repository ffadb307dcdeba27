package ledger

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"evalq/tasks"
)

// Names reports whether a task or a message is about a user: by the id that
// package client gives the tasks which it puts straight into Redis, or by its
// body. Of a body that is JSON the user's own field counts, at the top or in the
// payload of an envelope; what else is in it may name other people. An id that went
// through a float64 names all whom it may stand for. In a body that is no JSON, any
// such field counts: nobody will ever evaluate it.
func Names(taskID string, body []byte, user int64) bool {
	id := strconv.FormatInt(user, 10)
	if part := strings.Split(taskID, "."); len(part) >= 4 && part[0] == "adopt" && part[2] == id {
		return true
	}
	if tasks.CheckJSON(body) != nil {
		for _, m := range userField.FindAllSubmatch(body, -1) {
			if string(m[1]) == id {
				return true
			}
		}
		return false
	}
	var top map[string]json.RawMessage
	if json.Unmarshal(body, &top) != nil {
		return false
	}
	if owns(top, id) {
		return true
	}
	var inner map[string]json.RawMessage
	return json.Unmarshal(top["payload"], &inner) == nil && owns(inner, id)
}

var userField = regexp.MustCompile(`(?i)user_?id\W{1,8}0*([1-9][0-9]*)`)

func owns(fields map[string]json.RawMessage, id string) bool {
	for name, value := range fields {
		if !strings.EqualFold(strings.ReplaceAll(name, "_", ""), "userid") {
			continue
		}
		if text := string(value); strings.Trim(text, `"`) == id || rounds(id, text) {
			return true
		}
	}
	return false
}

// rounds reports whether the number may be the id after it went through a float64,
// which changes those above 2^53.
func rounds(id, number string) bool {
	if len(id) < len("9007199254740993") || len(number) > 40 {
		return false
	}
	a, err1 := strconv.ParseFloat(id, 64)
	b, err2 := strconv.ParseFloat(number, 64)
	return err1 == nil && err2 == nil && a == b
}
