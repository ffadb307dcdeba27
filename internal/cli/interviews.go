package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"evalq/internal/evaluation"
	"evalq/tasks"
)

// interviews is what a file holds.
type interviews struct {
	good  []evaluation.Interview
	wrong []mistake
	lines map[int64]int // report id → the line where it begins
}

// mistake is one place that is wrong.
type mistake struct {
	Line    int    `json:"line"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
}

// String is the place, then what is wrong, to follow the file's name.
func (m mistake) String() string {
	if m.Field == "" {
		return fmt.Sprintf("%d: %s", m.Line, m.Message)
	}
	return fmt.Sprintf("%d: %s: %s", m.Line, m.Field, m.Message)
}

func (f *interviews) fail(line int, field, format string, args ...any) {
	f.wrong = append(f.wrong, mistake{line, field, fmt.Sprintf(format, args...)})
}

// add takes an interview in, unless the file has its report id already.
func (f *interviews) add(line int, in evaluation.Interview) {
	if first, ok := f.lines[in.ReportID]; ok {
		f.fail(line, "report_id", "the same as that of the interview at line %d", first)
		return
	}
	if f.lines == nil {
		f.lines = map[int64]int{}
	}
	f.lines[in.ReportID] = line
	f.good = append(f.good, in)
}

// The formats of a file.
const (
	formatJSON = "json"
	formatCSV  = "csv"
)

func formatOf(given, name string, data []byte) (string, error) {
	switch given {
	case formatJSON, formatCSV:
		return given, nil
	case "":
	default:
		return "", usagef("--format: must be json or csv")
	}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".json":
		return formatJSON, nil
	case ".csv":
		return formatCSV, nil
	}
	if text := bytes.TrimLeft(data, "\ufeff \t\r\n"); len(text) > 0 && (text[0] == '{' || text[0] == '[') {
		return formatJSON, nil
	}
	return formatCSV, nil
}

// parseInterviews ends early, with a part of the file, when ctx does.
func parseInterviews(ctx context.Context, format string, data []byte) *interviews {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if format == formatJSON {
		return parseJSON(ctx, data)
	}
	return parseCSV(ctx, data)
}

// parseJSON reads one interview, an array, or {"interviews":[…]}.
func parseJSON(ctx context.Context, data []byte) *interviews {
	f := &interviews{}
	if err := tasks.CheckJSON(data); err != nil {
		f.fail(lineOfFault(data), "", "%s", err)
		return f
	}
	lines := lineCounter{data: data}
	for _, part := range parts(data) {
		if ctx.Err() != nil {
			break
		}
		line := lines.at(part.offset)
		in, err := evaluation.ParseInterview(part.raw)
		if err != nil {
			field, message := splitField(err)
			f.fail(line, field, "%s", message)
			continue
		}
		f.add(line, in)
	}
	return f
}

// lineCounter gives the lines of growing offsets, and looks at each byte once.
type lineCounter struct {
	data            []byte
	looked, newline int
}

// at gives the line of an offset that is not before the last one.
func (c *lineCounter) at(offset int) int {
	c.newline += bytes.Count(c.data[c.looked:offset], []byte("\n"))
	c.looked = offset
	return 1 + c.newline
}

// part is one interview's text and where it begins.
type part struct {
	raw    json.RawMessage
	offset int
}

// parts finds the interviews in a document that is known to be JSON.
func parts(data []byte) []part {
	start := len(data) - len(bytes.TrimLeft(data, " \t\r\n"))
	dec := json.NewDecoder(bytes.NewReader(data))
	if data[start] == '{' {
		var wrapped map[string]json.RawMessage
		_ = json.Unmarshal(data, &wrapped)
		if _, ok := wrapped["interviews"]; !ok || len(wrapped) != 1 || wrapped["interviews"][0] != '[' {
			return []part{{data[start:], start}}
		}
		_, _ = dec.Token() // {
		_, _ = dec.Token() // "interviews"
	} else if data[start] != '[' {
		return []part{{data[start:], start}}
	}
	_, _ = dec.Token() // [
	var out []part
	for dec.More() {
		var raw json.RawMessage
		if dec.Decode(&raw) != nil {
			break
		}
		out = append(out, part{raw, int(dec.InputOffset()) - len(raw)})
	}
	return out
}

// lineOfFault is the line where the text stops being JSON, or 1 when it is
// JSON that is refused for what it says.
func lineOfFault(data []byte) int {
	var syntax *json.SyntaxError
	var v json.RawMessage
	if err := json.Unmarshal(data, &v); asSyntax(err, &syntax) {
		return 1 + bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
	}
	return 1
}

// splitField takes the path of a field off an error that begins with one.
func splitField(err error) (field, message string) {
	field, message, ok := strings.Cut(err.Error(), ": ")
	if !ok || strings.ContainsAny(field, " \"") {
		return "", err.Error()
	}
	return field, message
}
