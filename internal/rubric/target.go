package rubric

// demoted is the weight of a term that says little: it was in the question, or
// it carries grammar.
const demoted = 0.2

// target is something that an answer is measured against: the distinct terms
// of a key point, an alias or a reference, in order.
type target struct {
	tokens []token
	terms  []weighted
	sum    float64 // of all weights
}

type weighted struct {
	term   string
	weight float64
	fresh  bool // a content word that was not in the question
}

// terms is the set of terms of a text.
type terms map[string]struct{}

func (t terms) has(term string) bool { _, ok := t[term]; return ok }

func termsOf(tokens []token) terms {
	set := make(terms, len(tokens))
	for _, t := range tokens {
		set[t.term] = struct{}{}
	}
	return set
}

func newTarget(text string, question terms) target {
	t := target{tokens: tokenise(text)}
	seen := make(terms, len(t.tokens))
	for _, tok := range t.tokens {
		if seen.has(tok.term) {
			continue
		}
		seen[tok.term] = struct{}{}
		w := weighted{tok.term, 1, true}
		if tok.function || question.has(tok.term) {
			w.weight, w.fresh = demoted, false
		}
		t.terms = append(t.terms, w)
		t.sum += w.weight
	}
	return t
}

// hit is a place in the answer where a term of a target was found.
type hit struct {
	token int // index into the answer's tokens
	term  int // index into the target's terms
}

// coverage is the weighted share of the target's terms that occur in the
// answer, 0 … 1. Hits are in no particular order.
func (t target) coverage(a *answer) (share float64, hits []hit) {
	if t.sum == 0 {
		return 0, nil
	}
	got := 0.0
	for i, w := range t.terms {
		places, likeness := a.find(w.term)
		if likeness == 0 {
			continue
		}
		got += w.weight * likeness
		// A term that is everywhere says nothing about where the point is made.
		for _, p := range places[:min(len(places), maxPlaces)] {
			hits = append(hits, hit{p, i})
		}
	}
	return got / t.sum, hits
}

// maxPlaces bounds how many places of one term are looked at.
const maxPlaces = 2000

// maxGap is how many content terms may stand between two neighbours of an alias.
const maxGap = 2

// spoken looks for an alias as a phrase: its content terms in order and close
// together. It gives the places of the first occurrence.
func (t target) spoken(a *answer) []hit {
	var want []string
	for _, tok := range t.tokens {
		if !tok.function {
			want = append(want, tok.term)
		}
	}
	if len(want) == 0 {
		for _, tok := range t.tokens {
			want = append(want, tok.term)
		}
	}
	if len(want) == 0 {
		return nil
	}
	starts := a.places[want[0]]
	for _, start := range starts[:min(len(starts), maxPlaces)] {
		if hits := a.phrase(want, start); hits != nil {
			return hits
		}
	}
	return nil
}
