package rubric

import (
	"unicode"

	"evalq/internal/evaluation"
)

const (
	// An answer with fewer content terms than this is too short to be called a
	// list of words.
	minList = 8
	// Running English has some 40 words of grammar in 100, terse technical
	// notes still 15; Chinese has some 15 characters in 100.
	minFunctionWords = 0.10
	minFunctionRunes = 0.02
	// Distinct terms in a long answer.
	longAnswer  = 40
	minDistinct = 0.25
	// Terms of the target that stand side by side there and also in the answer,
	// when most of the terms are found at all.
	mostTerms   = 0.7
	minAdjacent = 0.10
)

// wordList reports whether the text is words without sentences: no grammar in
// it, the same few terms over and over, or the words of the target with
// their order lost.
func (a *answer) wordList(t target, coverage float64) bool {
	if len(a.tokens) < minList {
		return false
	}
	if len(a.tokens) >= longAnswer && a.distinct() < minDistinct {
		return true
	}
	if a.grammarless() {
		return true
	}
	return coverage >= mostTerms && a.disordered(t)
}

func (a *answer) distinct() float64 {
	return float64(len(termsOf(a.tokens))) / float64(len(a.tokens))
}

// grammarless looks at the language that the answer is mostly in.
func (a *answer) grammarless() bool {
	words, functionWords := 0, 0
	for _, t := range a.tokens {
		if t.latin() {
			words++
			if t.function {
				functionWords++
			}
		}
	}
	han, functionRunes := 0, 0
	for _, r := range a.text {
		if unicode.Is(unicode.Han, r) {
			han++
			if isFunctionRune(r) {
				functionRunes++
			}
		}
	}
	if han > words {
		return han >= 2*minList && float64(functionRunes) < minFunctionRunes*float64(han)
	}
	return words >= minList && float64(functionWords) < minFunctionWords*float64(words)
}

// disordered reports whether hardly any neighbours in the target are
// neighbours in the answer.
func (a *answer) disordered(t target) bool {
	var pairs, kept int
	neighbours := make(map[[2]string]struct{}, len(a.tokens))
	for i := 0; i+1 < len(a.tokens); i++ {
		neighbours[[2]string{a.tokens[i].term, a.tokens[i+1].term}] = struct{}{}
	}
	for i := 0; i+1 < len(t.tokens); i++ {
		pairs++
		if _, ok := neighbours[[2]string{t.tokens[i].term, t.tokens[i+1].term}]; ok {
			kept++
		}
	}
	return pairs >= minList && float64(kept) < minAdjacent*float64(pairs)
}

// echoes reports whether the answer repeats the question and adds nothing: it
// holds most of the question's words and hardly one of its own.
func (a *answer) echoes(question []token) bool {
	asked := terms{}
	for _, t := range question {
		if !t.function {
			asked[t.term] = struct{}{}
		}
	}
	given := terms{}
	own, all := 0, 0
	for _, t := range a.tokens {
		if t.function {
			continue
		}
		all++
		if asked.has(t.term) {
			given[t.term] = struct{}{}
		} else {
			own++
		}
	}
	return len(asked) >= 3 && 10*len(given) >= 6*len(asked) && 10*own <= all
}

// foreign reports whether the answer is in another language than the
// interview. English words in a Chinese answer are not foreign.
func (a *answer) foreign(lang string) bool {
	words, han := 0, 0
	for _, t := range a.tokens {
		if t.latin() {
			words++
		}
	}
	for _, r := range a.text {
		if unicode.Is(unicode.Han, r) {
			han++
		}
	}
	if lang == evaluation.Chinese {
		return words >= minList && 10*han < words
	}
	return han >= minList && han > 2*words
}

func (t token) latin() bool {
	return t.term != "" && t.term[0] < 0x80 && (t.term[0] < '0' || t.term[0] > '9')
}
