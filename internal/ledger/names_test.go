package ledger_test

import (
	"bytes"
	"encoding/base64"
	"runtime"
	"testing"

	"evalq/internal/ledger"
	"evalq/tasks"
)

func TestWhatMayBeAboutAUserIsFoundByAnyReading(t *testing.T) {
	t.Parallel()
	const user, large = 77, int64(9007199254740993)
	inner := `{"type":"x","payload":{"user_id":77,"report_id":5}}`
	for name, body := range map[string]string{
		"an array":                    `[{"user_id":77}]`,
		"another envelope":            `{"data":{"user_id":77}}`,
		"a payload that is a string":  `{"type":"x","payload":"{\"user_id\":77,\"report_id\":5}"}`,
		"a string in a string":        `{"a":"{\"b\":\"{\\\"userId\\\":\\\"77\\\"}\"}"}`,
		"a string alone":              `"{\"user_id\":77}"`,
		"base64":                      `{"payload":"` + base64.StdEncoding.EncodeToString([]byte(inner)) + `"}`,
		"a field twice":               `{"user_id":77,"user_id":5}`,
		"another case":                `{"payload":{"UserID":"77"}}`,
		"a dash":                      `{"user-id":77}`,
		"an object of the user":       `{"user":{"id":77}}`,
		"a list of users":             `{"users":[5,77]}`,
		"an exponent":                 `{"user_id":7.7e1}`,
		"a fraction that is cut off":  `{"user_id":77.9}`,
		"zeros":                       `{"user_id":"0077"}`,
		"spaces":                      `{"user_id":" 77 "}`,
		"escapes":                     `{"user\u005fid":"\u00377"}`,
		"deep":                        `{"a":[[{"b":{"c":[{"user_id":77}]}}]]}`,
		"a broken end":                `{"user_id":77,"answer":"cut o`,
		"a broken end behind escapes": `{"user\u005fid":77,"answer":"cut o`,
		"two values":                  `{"a":1}{"user_id":77}`,
		"a form":                      `user_id=77&report_id=5`,
		"a text":                      `evaluate user 77, please`,
		"a message of Asynq's":        "\n\x04kind\x12\x10{\"user_id\":77}\x1a\x03abc",
		"UTF-16":                      "{\x00\"\x00u\x00s\x00e\x00r\x00_\x00i\x00d\x00\"\x00:\x007\x007\x00}\x00",
	} {
		if about, doubt := ledger.Mentions(tasks.Quarantined{}, []byte(body), user); !about || doubt && name != "a broken end behind escapes" {
			t.Errorf("%s: about %v, in doubt %v", name, about, doubt)
		}
		if about, _ := ledger.Mentions(tasks.Quarantined{}, []byte(body), 6); about {
			t.Errorf("%s: it is about another user", name)
		}
	}
	for name, body := range map[string]string{
		"positions":             `[77, 42]`,
		"a string of numbers":   `{"payload":"77,42"}`,
		"a number alone":        `77`,
		"a name that says less": `{"id":77}`,
		"a map by user":         `{"77":{"report_id":5}}`,
	} {
		if about, doubt := ledger.Mentions(tasks.Quarantined{}, []byte(body), user); !about || !doubt {
			t.Errorf("%s: about %v, in doubt %v", name, about, doubt)
		}
	}
	for name, body := range map[string]string{
		"a report":            `{"payload":{"user_id":5,"report_id":77}}`,
		"a longer number":     `{"user_id":770,"note":"user 1077"}`,
		"words of an answer":  `{"user_id":5,"answer":"after 77 tries"}`,
		"nothing":             ``,
		"a depth without end": `[[[[[[[[[[[[[[[[`,
	} {
		if about, _ := ledger.Mentions(tasks.Quarantined{}, []byte(body), user); about {
			t.Errorf("%s: it is about the user", name)
		}
	}
	for name, q := range map[string]tasks.Quarantined{
		"the task's id":            {TaskID: "adopt.evaluation_report.77.5"},
		"another task's id":        {TaskID: "user-77"},
		"candidates in its reason": {Reason: "several interviews may be meant, name the true ids: user_id 77 report_id 5"},
	} {
		if about, _ := ledger.Mentions(q, nil, user); !about {
			t.Errorf("%s: it is not about the user", name)
		}
	}
	if about, _ := ledger.Mentions(tasks.Quarantined{TaskID: "01hzy6ej8m2k4nq7rt5v8wxz.77"}, nil, user); about {
		t.Error("the number of a delivery is taken for a user")
	}
	if about, _ := ledger.Mentions(tasks.Quarantined{}, []byte(`[{"user_id":9007199254740992}]`), large); !about {
		t.Error("an id that went through a float64 is not found")
	}
}

func TestADeepBodyIsSearchedInAsMuchMemoryAsItHas(t *testing.T) {
	body := append(bytes.Repeat([]byte("["), 4<<20), `{"user_id":77`...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	about, _ := ledger.Mentions(tasks.Quarantined{}, body, 77)
	runtime.ReadMemStats(&after)
	if !about {
		t.Error("the user behind a deep beginning is not found")
	}
	if took := (after.TotalAlloc - before.TotalAlloc) / uint64(len(body)); took > 8 {
		t.Errorf("it took %d bytes a byte", took)
	}
}

func TestATaskInRedisBelongsToTheUserThatItsOwnFieldNames(t *testing.T) {
	t.Parallel()
	for body, owned := range map[string]bool{
		`{"user_id":77}`:                               true,
		`{"type":"x","payload":{"userId":"77"}}`:       true,
		`{"data":{"user_id":77}}`:                      true,
		`{"user_id":5,"reviewers":[{"user_id":77}]}`:   false,
		`{"type":"x","payload":{"user_id":5},"id":77}`: false,
		`[77, 42]`: false,
		`{"user_id":null,"data":"{\"user_id\":77}"}`: true,
	} {
		if got := ledger.Owns("x", []byte(body), 77); got != owned {
			t.Errorf("%s: owned %v", body, got)
		}
	}
}
