package dashboard

import (
	"net/http"
	"strings"
)

// verb is what a call of Asynqmon's API wants done.
type verb string

const (
	verbRun     verb = "run"
	verbArchive verb = "archive"
	verbCancel  verb = "cancel"
	verbDelete  verb = "delete"
	verbPause   verb = "pause"
	verbResume  verb = "resume"
)

// scope is what it wants it done to.
type scope string

const (
	scopeOne   scope = "one"   // one task
	scopeBatch scope = "batch" // the tasks that the body names
	scopeAll   scope = "all"   // all tasks of a queue in one state
	scopeQueue scope = "queue"
)

// call is a changing request of Asynqmon's API.
type call struct {
	verb  verb
	scope scope
	queue string
	group string // of aggregating tasks
	state string // "pending", "retry", …
	task  string // when scope is one
}

// allowed lists what Asynqmon offers for tasks of each state. What is not here
// is refused.
var allowed = map[string][]verb{
	"active":      {verbCancel},
	"pending":     {verbArchive, verbDelete},
	"scheduled":   {verbRun, verbArchive, verbDelete},
	"retry":       {verbRun, verbArchive, verbDelete},
	"archived":    {verbRun, verbDelete},
	"completed":   {verbDelete},
	"aggregating": {verbRun, verbArchive, verbDelete},
}

// parseCall reads a method and a path below Asynqmon's root. It knows exactly
// the changing calls of Asynqmon v0.7.2; ok is false for anything else.
func parseCall(method, path string) (c call, ok bool) {
	rest, found := strings.CutPrefix(path, "/api/queues/")
	if !found {
		return call{}, false
	}
	parts := strings.Split(rest, "/")
	for _, part := range parts {
		if part == "" {
			return call{}, false
		}
	}
	switch {
	case len(parts) == 1:
		return parseQueueCall(method, parts[0])
	case parts[1] == "groups":
		if len(parts) < 4 || !strings.HasPrefix(parts[3], "aggregating_tasks") {
			return call{}, false
		}
		return parseTaskCall(method, call{queue: parts[0], group: parts[2]}, parts[3:])
	case strings.HasPrefix(parts[1], "aggregating_tasks"):
		return call{}, false
	}
	return parseTaskCall(method, call{queue: parts[0]}, parts[1:])
}

func parseQueueCall(method, name string) (call, bool) {
	c := call{scope: scopeQueue, queue: name, verb: verbDelete}
	if method == http.MethodDelete {
		return c, true
	}
	if method != http.MethodPost {
		return call{}, false
	}
	for _, v := range []verb{verbPause, verbResume} {
		if queue, ok := strings.CutSuffix(name, ":"+string(v)); ok && queue != "" {
			c.verb, c.queue = v, queue
			return c, true
		}
	}
	return call{}, false
}

// parseTaskCall reads "<state>_tasks:<what>" or "<state>_tasks/<id>[:<verb>]".
func parseTaskCall(method string, c call, parts []string) (call, bool) {
	list, what, _ := strings.Cut(parts[0], ":")
	state, found := strings.CutSuffix(list, "_tasks")
	if !found || len(parts) > 2 || (what != "") == (len(parts) == 2) {
		return call{}, false
	}
	c.state = state
	for _, v := range allowed[state] {
		c.verb = v
		if len(parts) == 1 {
			if c.scope = wide(method, v, what); c.scope != "" {
				return c, true
			}
		} else if id := single(method, v, parts[1]); id != "" {
			c.scope, c.task = scopeOne, id
			return c, true
		}
	}
	return call{}, false
}

// wide gives the scope when method and what ask for v.
func wide(method string, v verb, what string) scope {
	switch {
	case what == string(v)+"_all" && method == changing(v):
		return scopeAll
	case what == "batch_"+string(v) && method == http.MethodPost:
		return scopeBatch
	}
	return ""
}

// single gives the task's id when method and name ask for v.
func single(method string, v verb, name string) string {
	if method != changing(v) {
		return ""
	}
	if v == verbDelete {
		return name
	}
	id, found := strings.CutSuffix(name, ":"+string(v))
	if !found {
		return ""
	}
	return id
}

func changing(v verb) string {
	if v == verbDelete {
		return http.MethodDelete
	}
	return http.MethodPost
}
