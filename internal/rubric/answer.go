package rubric

import (
	"unicode"
	"unicode/utf8"
)

// answer is an indexed answer. Building it takes time in proportion to the
// length of the text.
type answer struct {
	text   string
	tokens []token
	places map[string][]int // term -> indices into tokens, rising
	near   nearIndex
}

func newAnswer(text string) *answer {
	a := &answer{text: text, tokens: tokenise(text)}
	a.places = make(map[string][]int, len(a.tokens))
	for i, t := range a.tokens {
		a.places[t.term] = append(a.places[t.term], i)
	}
	// A reference can name a thing by one character, which inside a sentence
	// of the answer is only ever half of a pair.
	for i, t := range a.tokens {
		r, n := utf8.DecodeRuneInString(t.term)
		if n < len(t.term) && unicode.Is(unicode.Han, r) {
			for _, r := range t.term {
				a.single(string(r), i)
			}
		}
	}
	a.near = newNearIndex(a.tokens)
	return a
}

func (a *answer) single(term string, i int) {
	if have := a.places[term]; len(have) == 0 || have[len(have)-1] < i {
		a.places[term] = append(have, i)
	}
}

// find gives the places of a term and how alike it is to what stands there: 1
// for the term itself, less for a near spelling, 0 for nothing.
func (a *answer) find(term string) (places []int, likeness float64) {
	if places := a.places[term]; len(places) > 0 {
		return places, 1
	}
	if other, likeness := a.near.nearest(term); likeness > 0 {
		return a.places[other], likeness
	}
	return nil, 0
}

// phrase follows the wanted terms from a place of the first.
func (a *answer) phrase(want []string, start int) []hit {
	hits := []hit{{start, 0}}
	at := start
	for i, term := range want[1:] {
		next, gap := at+1, 0
		for next < len(a.tokens) && !a.is(next, term) {
			if !a.tokens[next].function {
				gap++
			}
			if gap > maxGap {
				return nil
			}
			next++
		}
		if next >= len(a.tokens) {
			return nil
		}
		at = next
		hits = append(hits, hit{at, i + 1})
	}
	return hits
}

// is reports whether term stands at a token, as it or as one half of it.
func (a *answer) is(i int, term string) bool {
	t := a.tokens[i].term
	if t == term {
		return true
	}
	r, n := utf8.DecodeRuneInString(term)
	if n != len(term) || !unicode.Is(unicode.Han, r) {
		return false
	}
	for _, c := range t {
		if c == r {
			return true
		}
	}
	return false
}
