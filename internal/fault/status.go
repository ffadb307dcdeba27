package fault

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"evalq/tasks"
)

// What errors of SDKs call the status of an answer. Those of the second list may
// also be numbers of a program's own, so a plain 500 in them says nothing.
var (
	statusNames = []string{"HTTPStatusCode", "HttpStatusCode", "StatusCode", "HTTPCode", "HttpCode"}
	vagueNames  = []string{"HTTPStatus", "HttpStatus", "Code", "Status", "ErrorCode", "ErrCode"}
)

// fromStatus reads an error that carries the status of an answer.
func fromStatus(err error) finding {
	v := reflect.ValueOf(err)
	plain, vague := []int{ofMethod(err)}, []int{ofVagueMethod(err)}
	for _, name := range statusNames {
		plain = append(plain, whole(field(v, name)))
	}
	if r := response(v); r != nil {
		plain = append(plain, r.StatusCode)
	}
	for _, name := range vagueNames {
		vague = append(vague, whole(field(v, name)))
	}
	for _, n := range plain {
		if f := ofStatus(n, err); f.class != "" {
			return f
		}
	}
	for _, n := range vague {
		if f := ofStatus(n, err); f.class != "" && n != http.StatusInternalServerError {
			return f
		}
	}
	return finding{}
}

func ofStatus(status int, err error) finding {
	class := classOfStatus(status, func() string { return strings.ToLower(clip(err.Error())) })
	if class == "" {
		return finding{}
	}
	return finding{class: class, after: retryAfter(reflect.ValueOf(err), time.Now())}
}

// classOfStatus asks for the lower-case text only where the status leaves it open.
func classOfStatus(status int, text func() string) tasks.Class {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return tasks.ClassAuth
	case http.StatusPaymentRequired:
		return tasks.ClassQuota
	case http.StatusTooManyRequests:
		if contains(text(), "insufficient_quota", "exceeded your current quota", "insufficient balance", "billing") {
			return tasks.ClassQuota
		}
		return tasks.ClassRateLimited
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, 499:
		return tasks.ClassUnavailable
	case http.StatusServiceUnavailable, 529:
		return tasks.ClassOverloaded
	case http.StatusRequestEntityTooLarge:
		return tasks.ClassContextTooLong
	case http.StatusNotImplemented:
		return tasks.ClassRefused
	}
	switch {
	case status >= 500 && status < 600:
		return tasks.ClassUnavailable
	case status < 400 || status >= 600:
		return ""
	}
	switch t := text(); {
	case contains(t, "context_length", "context length", "context window", "maximum context", "too many tokens", "prompt is too long"):
		return tasks.ClassContextTooLong
	case contains(t, "content_filter", "content filter", "content management policy", "data_inspection_failed", "sensitive"):
		return tasks.ClassContentFiltered
	}
	return tasks.ClassRefused
}

func contains(text string, parts ...string) bool {
	for _, p := range parts {
		if strings.Contains(text, p) {
			return true
		}
	}
	return false
}

// ofMethod is the status that a method of an error tells, or zero.
func ofMethod(err error) int {
	switch e := err.(type) {
	case interface{ HTTPStatusCode() int }:
		return e.HTTPStatusCode()
	case interface{ StatusCode() int }:
		return e.StatusCode()
	case interface{ GetStatusCode() int }:
		return e.GetStatusCode()
	case interface{ HTTPCode() int }:
		return e.HTTPCode()
	}
	return 0
}

func ofVagueMethod(err error) int {
	switch e := err.(type) {
	case interface{ HTTPStatus() int }:
		return e.HTTPStatus()
	case interface{ Code() int }:
		return e.Code()
	case interface{ Code() int32 }:
		return int(e.Code())
	case interface{ Status() int }:
		return e.Status()
	}
	return 0
}

func whole(v reflect.Value) int {
	for v.IsValid() && (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) {
		v = v.Elem()
	}
	switch {
	case !v.IsValid():
	case v.CanInt():
		return int(v.Int())
	case v.CanUint():
		return int(min(v.Uint(), 1<<31-1))
	case v.CanFloat():
		return int(v.Float())
	case v.Kind() == reflect.String && len(v.String()) == 3:
		n, _ := strconv.Atoi(v.String())
		return n
	}
	return 0
}

// field is that of a struct, also of one behind a pointer or embedded.
func field(v reflect.Value, name string) reflect.Value {
	for v.IsValid() && (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) {
		v = v.Elem()
	}
	if !v.IsValid() || v.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	return v.FieldByName(name)
}

func response(v reflect.Value) *http.Response {
	for _, name := range []string{"Response", "HTTPResponse", "RawResponse"} {
		if f := field(v, name); f.IsValid() && f.CanInterface() {
			if r, ok := f.Interface().(*http.Response); ok && r != nil {
				return r
			}
		}
	}
	return nil
}

// longestWait bounds what a provider may ask for.
const longestWait = 24 * time.Hour

// retryAfter is how long the answer in an error asks to wait, in any of the forms
// in which SDKs keep it: a header, a duration, or seconds.
func retryAfter(v reflect.Value, now time.Time) time.Duration {
	var wait time.Duration
	if e, ok := v.Interface().(interface{ RetryAfter() time.Duration }); ok {
		wait = e.RetryAfter()
	}
	for _, name := range []string{"RetryAfter", "RetryDelay"} {
		if f := field(v, name); f.IsValid() && wait == 0 {
			wait = duration(f, now)
		}
	}
	for _, h := range headers(v) {
		if wait > 0 {
			break
		}
		wait = ofHeader(h, now)
	}
	return max(0, min(wait, longestWait))
}

func headers(v reflect.Value) (out []http.Header) {
	if r := response(v); r != nil {
		out = append(out, r.Header)
	}
	for _, name := range []string{"Header", "Headers", "HTTPHeader", "ResponseHeader"} {
		if f := field(v, name); f.IsValid() && f.CanInterface() {
			if h, ok := f.Interface().(http.Header); ok {
				out = append(out, h)
			}
		}
	}
	return out
}

func ofHeader(h http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil && ms > 0 {
		return seconds(ms / 1000)
	}
	return ofText(h.Get("Retry-After"), now)
}

func ofText(text string, now time.Time) time.Duration {
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		return seconds(s)
	}
	if at, err := http.ParseTime(text); err == nil {
		return at.Sub(now)
	}
	return 0
}

func duration(v reflect.Value, now time.Time) time.Duration {
	for v.IsValid() && (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) {
		v = v.Elem()
	}
	switch {
	case !v.IsValid():
		return 0
	case v.Type() == reflect.TypeFor[time.Duration]():
		return time.Duration(v.Int())
	case v.Kind() == reflect.String:
		return ofText(v.String(), now)
	case v.CanFloat():
		return seconds(v.Float())
	}
	return seconds(float64(whole(v)))
}

// seconds is bounded, and zero for what is no number of seconds.
func seconds(s float64) time.Duration {
	if !(s > 0) {
		return 0
	}
	return time.Duration(min(s, longestWait.Seconds()) * float64(time.Second))
}
