package rubric

import (
	"cmp"
	"slices"
	"unicode"
	"unicode/utf8"

	"evalq/internal/evaluation"
)

const (
	// window is how many tokens a quote may span before it is extended.
	window = 40
	// margin is how many runes a quote may grow on each side to end at a
	// boundary.
	margin = 30
)

// evidence quotes the part of the answer in which the most of the target was
// found.
func (a *answer) evidence(t target, hits []hit) *evaluation.Evidence {
	if len(hits) == 0 {
		return nil
	}
	hits = slices.Clone(hits)
	slices.SortFunc(hits, func(x, y hit) int { return cmp.Or(cmp.Compare(x.token, y.token), cmp.Compare(x.term, y.term)) })
	from, to := densest(t, hits)
	start, end := a.extend(a.tokens[hits[from].token].start, a.tokens[hits[to].token].end)
	first := utf8.RuneCountInString(a.text[:start])
	quote := a.text[start:end]
	return &evaluation.Evidence{Quote: quote, Start: first, End: first + utf8.RuneCountInString(quote)}
}

// densest finds the run of hits, at most a window apart, with the largest
// weight of distinct terms; of equal ones the first and shortest.
func densest(t target, hits []hit) (from, to int) {
	count := make([]int, len(t.terms))
	have, best := 0.0, -1.0
	left := 0
	for right, h := range hits {
		if count[h.term]++; count[h.term] == 1 {
			have += t.terms[h.term].weight
		}
		for left < right && (hits[right].token-hits[left].token > window || count[hits[left].term] > 1) {
			if count[hits[left].term]--; count[hits[left].term] == 0 {
				have -= t.terms[hits[left].term].weight
			}
			left++
		}
		if have > best+1e-9 {
			best, from, to = have, left, right
		}
	}
	return from, to
}

// extend grows a range of bytes to the next mark of punctuation on each side,
// when there is one within the margin.
func (a *answer) extend(start, end int) (int, int) {
	at := start
	for n := 0; n <= margin; n++ {
		if at == 0 {
			start = 0
			break
		}
		r, size := utf8.DecodeLastRuneInString(a.text[:at])
		if isBoundary(r) {
			start = at
			break
		}
		at -= size
	}
	for start < end {
		r, size := utf8.DecodeRuneInString(a.text[start:])
		if !unicode.IsSpace(r) {
			break
		}
		start += size
	}
	at = end
	for n := 0; n <= margin; n++ {
		if at == len(a.text) {
			end = at
			break
		}
		r, size := utf8.DecodeRuneInString(a.text[at:])
		if isBoundary(r) {
			end = at
			break
		}
		at += size
	}
	return start, end
}

func isBoundary(r rune) bool {
	switch r {
	case ',', '.', ';', ':', '!', '?', '\n', '，', '。', '；', '：', '！', '？', '、':
		return true
	}
	return false
}
