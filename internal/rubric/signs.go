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
	minPairs    = 5
	minAdjacent = 0.15
)

// wordList reports whether the text is words without sentences: no grammar in
// it, the same few terms over and over, or the words of the target with
// their order lost.
func (a *answer) wordList(t target) bool {
	if len(a.tokens) < minList {
		return false
	}
	if len(a.tokens) >= longAnswer && a.distinct() < minDistinct {
		return true
	}
	if a.grammarless() {
		return true
	}
	// Aliases do not count here: the order of words can be lost only where the
	// words are the target's own.
	own, _ := t.coverage(a)
	return own >= mostTerms && a.disordered(t)
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

// disordered reports whether hardly any content words that are neighbours in
// the target are neighbours in the answer.
func (a *answer) disordered(t target) bool {
	given, wanted := neighbours(a.tokens), neighbours(t.tokens)
	kept := 0
	for pair := range wanted {
		if _, ok := given[pair]; ok {
			kept++
		}
	}
	// One pair comes about by chance in any shuffle.
	return len(wanted) >= minPairs && float64(kept) <= max(1, minAdjacent*float64(len(wanted)))
}

// neighbours gives the pairs of content terms with nothing but grammar between
// them: "of the" stands in any order of words.
func neighbours(tokens []token) map[[2]string]struct{} {
	pairs := make(map[[2]string]struct{}, len(tokens))
	last := ""
	for _, t := range tokens {
		if t.function {
			continue
		}
		if last != "" {
			pairs[[2]string{last, t.term}] = struct{}{}
		}
		last = t.term
	}
	return pairs
}

// echoes reports whether the answer repeats the question and adds nothing: it
// holds most of the question's words and not one of its own. The second half is
// strict, because a right answer can be the question with one number added.
func (a *answer) echoes(question []token) bool {
	asked := terms{}
	for _, t := range question {
		if !t.function {
			asked[t.term] = struct{}{}
		}
	}
	given := terms{}
	for _, t := range a.tokens {
		if t.function {
			continue
		}
		if !asked.has(t.term) {
			return false
		}
		given[t.term] = struct{}{}
	}
	return len(asked) >= 3 && 10*len(given) >= 6*len(asked)
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
