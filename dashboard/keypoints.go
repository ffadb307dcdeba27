package dashboard

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Key points are typed one a line: "weight | text | alias; alias". Weight and
// aliases may be left out. A backslash keeps | ; and \ from having a meaning.

func pointLines(points []keyPoint) string {
	var b strings.Builder
	for _, p := range points {
		b.WriteString(strconv.FormatFloat(p.Weight, 'g', -1, 64) + " | " + escapePoint(p.Text))
		for i, alias := range p.Aliases {
			b.WriteString([]string{" | ", "; "}[min(i, 1)] + escapePoint(alias))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

var pointEscaper = strings.NewReplacer(`\`, `\\`, `|`, `\|`, `;`, `\;`, "\r\n", " ", "\n", " ", "\r", " ")

func escapePoint(s string) string { return pointEscaper.Replace(s) }

// parsePoints is the inverse of pointLines. A point whose text is among old
// keeps its id.
func parsePoints(lines string, old []keyPoint) ([]keyPoint, error) {
	var points []keyPoint
	for i, line := range strings.Split(lines, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		p, err := parsePoint(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		points = append(points, p)
	}
	namePoints(points, old)
	return points, nil
}

func parsePoint(line string) (keyPoint, error) {
	parts := splitEscaped(line, '|')
	p := keyPoint{Weight: 1}
	if len(parts) > 1 {
		weight, err := strconv.ParseFloat(strings.TrimSpace(parts[0]), 64)
		if err != nil || !(weight > 0) || math.IsInf(weight, 0) || weight > 1000 {
			return p, fmt.Errorf("begin with a weight above 0, such as 1, then | and the text")
		}
		p.Weight, parts = weight, parts[1:]
	}
	if len(parts) > 2 {
		return p, fmt.Errorf(`there are too many |; write \| where one belongs to the text`)
	}
	p.Text = unescapePoint(parts[0])
	if p.Text == "" {
		return p, fmt.Errorf("the text is missing")
	}
	if len(parts) == 2 {
		for _, alias := range splitEscaped(parts[1], ';') {
			if alias = unescapePoint(alias); alias != "" {
				p.Aliases = append(p.Aliases, alias)
			}
		}
	}
	return p, nil
}

// splitEscaped cuts at each sep that no backslash precedes.
func splitEscaped(s string, sep rune) (parts []string) {
	start, escaped := 0, false
	for i, c := range s {
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == sep:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

func unescapePoint(s string) string {
	var b strings.Builder
	escaped := false
	for _, c := range s {
		if c == '\\' && !escaped {
			escaped = true
			continue
		}
		if escaped && c != '\\' && c != '|' && c != ';' {
			b.WriteByte('\\')
		}
		escaped = false
		b.WriteRune(c)
	}
	if escaped {
		b.WriteByte('\\')
	}
	return strings.TrimSpace(b.String())
}

// namePoints gives each point an id that is its own.
func namePoints(points, old []keyPoint) {
	known, taken := map[string]string{}, map[string]bool{}
	for _, p := range old {
		if _, twice := known[p.Text]; !twice && p.ID != "" {
			known[p.Text] = p.ID
		}
	}
	for i := range points {
		if id := known[points[i].Text]; id != "" && !taken[id] {
			points[i].ID = id
			taken[id] = true
		}
	}
	n := 0
	for i := range points {
		for points[i].ID == "" {
			n++
			if id := "p" + strconv.Itoa(n); !taken[id] {
				points[i].ID = id
				taken[id] = true
			}
		}
	}
}
