package cli

import (
	"strconv"
	"strings"
)

// draft is an interview as its rows give it. Values that ParseInterview checks
// stay text.
type draft struct {
	line     int
	bad      bool
	UserID   int64         `json:"user_id"`
	ReportID int64         `json:"report_id"`
	Title    string        `json:"title"`
	Language string        `json:"language"`
	Position string        `json:"position"`
	Answers  []draftAnswer `json:"answers"`
}

type draftAnswer struct {
	line       int
	DialogID   string       `json:"dialog_id"`
	Topic      string       `json:"topic"`
	Difficulty int          `json:"difficulty"`
	Question   string       `json:"question"`
	Answer     string       `json:"answer"`
	Reference  string       `json:"reference"`
	KeyPoints  []draftPoint `json:"key_points"`
}

type draftPoint struct {
	Text    string   `json:"text"`
	Weight  float64  `json:"weight"`
	Aliases []string `json:"aliases,omitempty"`
}

// splitPoints cuts a cell at its lines, or when it has one only, at " / ".
func splitPoints(cell string) []string {
	by := "\n"
	if !strings.Contains(cell, by) {
		by = " / "
	}
	var out []string
	for text := range strings.SplitSeq(cell, by) {
		if text = strings.TrimSpace(text); text != "" {
			out = append(out, text)
		}
	}
	return out
}

// parsePoint reads [weight|]text[|alias;alias]: a first part that is a number
// is the weight.
func parsePoint(text string) draftPoint {
	p := draftPoint{Weight: 1}
	fields := strings.SplitN(text, "|", 3)
	if w, err := strconv.ParseFloat(strings.TrimSpace(fields[0]), 64); err == nil && len(fields) > 1 && w == w && w < 1e9 && w > -1e9 {
		p.Weight, fields = w, fields[1:]
	} else if len(fields) == 3 {
		fields = []string{fields[0], fields[1] + "|" + fields[2]}
	}
	p.Text = strings.TrimSpace(fields[0])
	if len(fields) > 1 {
		for alias := range strings.SplitSeq(fields[1], ";") {
			if alias = strings.TrimSpace(alias); alias != "" {
				p.Aliases = append(p.Aliases, alias)
			}
		}
	}
	return p
}
