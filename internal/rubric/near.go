package rubric

const (
	// minNear is the shortest word that may match another spelling.
	minNear = 4
	// alike is the least likeness of two spellings that counts: the Dice
	// coefficient of their letter pairs.
	alike = 0.6
	// maxNear bounds the distinct words of an answer among which near
	// spellings are looked for, so that a hostile text costs no more.
	maxNear = 4096
)

// nearIndex finds words by their letter pairs.
type nearIndex struct {
	words []string
	pairs []int                // number of distinct pairs of each word
	with  map[[2]byte][]int32  // pair -> words that have it
	known map[string]nearMatch // answers already given
	count []uint8              // scratch, zero between calls
}

type nearMatch struct {
	word     string
	likeness float64
}

func newNearIndex(tokens []token) nearIndex {
	n := nearIndex{with: map[[2]byte][]int32{}, known: map[string]nearMatch{}}
	seen := terms{}
	for _, t := range tokens {
		if !nearable(t.term) || seen.has(t.term) {
			continue
		}
		if len(n.words) == maxNear {
			break
		}
		seen[t.term] = struct{}{}
		id := int32(len(n.words))
		pairs := pairsOf(t.term)
		n.words = append(n.words, t.term)
		n.pairs = append(n.pairs, len(pairs))
		for _, p := range pairs {
			n.with[p] = append(n.with[p], id)
		}
	}
	n.count = make([]uint8, len(n.words))
	return n
}

// nearest gives the most alike word; of equally alike ones, the first in the
// answer.
func (n *nearIndex) nearest(term string) (string, float64) {
	if !nearable(term) || len(n.words) == 0 {
		return "", 0
	}
	if m, ok := n.known[term]; ok {
		return m.word, m.likeness
	}
	pairs := pairsOf(term)
	for _, p := range pairs {
		for _, id := range n.with[p] {
			n.count[id]++
		}
	}
	var best nearMatch
	for id, shared := range n.count {
		n.count[id] = 0
		if shared == 0 {
			continue
		}
		likeness := 2 * float64(shared) / float64(len(pairs)+n.pairs[id])
		if likeness >= alike && likeness > best.likeness {
			best = nearMatch{n.words[id], likeness}
		}
	}
	n.known[term] = best
	return best.word, best.likeness
}

// nearable words are of plain letters: 1024 is not almost 1025.
func nearable(w string) bool {
	if len(w) < minNear {
		return false
	}
	for i := 0; i < len(w); i++ {
		if w[i] < 'a' || w[i] > 'z' {
			return false
		}
	}
	return true
}

// pairsOf gives the distinct letter pairs of a word in order.
func pairsOf(w string) [][2]byte {
	var seen [(26*26 + 63) / 64]uint64
	out := make([][2]byte, 0, len(w)-1)
	for i := 0; i+1 < len(w); i++ {
		k := int(w[i]-'a')*26 + int(w[i+1]-'a')
		if seen[k/64]&(1<<(k%64)) == 0 {
			seen[k/64] |= 1 << (k % 64)
			out = append(out, [2]byte{w[i], w[i+1]})
		}
	}
	return out
}
