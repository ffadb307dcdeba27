package rubric

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxWord bounds one word in runes. Longer runs of letters are cut into
// several words, so that a hostile answer cannot make one comparison expensive.
const maxWord = 48

// token is one term of a text: a stemmed word, or a pair of neighbouring
// Chinese characters. Start and end are byte offsets in the original text.
type token struct {
	term       string
	start, end int
	function   bool // a word or pair that carries grammar rather than content
}

// glyph is one folded rune and the bytes of the original that it stands for.
type glyph struct {
	r          rune
	start, end int
}

// tokenise folds width and case (NFKC), cuts words at everything that is not a
// letter or digit, stems the words, and turns each run of Chinese characters
// into its overlapping pairs: a run of one character stays a term of one.
func tokenise(text string) []token {
	var out []token
	var run []glyph
	han := false
	flush := func() {
		if len(run) > 0 {
			out = appendRun(out, run, han)
			run = run[:0]
		}
	}
	eachGlyph(text, func(g glyph) {
		isHan := unicode.Is(unicode.Han, g.r)
		if !isHan && !isWordRune(g.r, len(run) > 0 && !han) {
			flush()
			return
		}
		if isHan != han || (!isHan && len(run) >= maxWord) {
			flush()
			han = isHan
		}
		run = append(run, g)
	})
	flush()
	return out
}

func isWordRune(r rune, inWord bool) bool {
	if unicode.IsLetter(r) || unicode.IsDigit(r) {
		return true
	}
	// C++ and C# keep their signs; an apostrophe belongs to the word it is in.
	return inWord && (r == '+' || r == '#' || r == '\'' || r == '’')
}

func appendRun(out []token, run []glyph, han bool) []token {
	if !han {
		word := make([]rune, 0, len(run))
		for _, g := range run {
			word = append(word, g.r)
		}
		raw := string(word)
		return append(out, token{stem(raw), run[0].start, run[len(run)-1].end, isFunctionWord(raw)})
	}
	if len(run) == 1 {
		g := run[0]
		return append(out, token{string(g.r), g.start, g.end, isFunctionRune(g.r)})
	}
	for i := 0; i+1 < len(run); i++ {
		a, b := run[i], run[i+1]
		out = append(out, token{string([]rune{a.r, b.r}), a.start, b.end, isFunctionRune(a.r) && isFunctionRune(b.r)})
	}
	return out
}

// eachGlyph calls f for each rune of text after compatibility folding and
// lower-casing.
func eachGlyph(text string, f func(glyph)) {
	var it norm.Iter
	it.InitString(norm.NFKC, text)
	for !it.Done() {
		start := it.Pos()
		seg := it.Next()
		end := it.Pos()
		for len(seg) > 0 {
			r, n := utf8.DecodeRune(seg)
			seg = seg[n:]
			f(glyph{unicode.ToLower(r), start, end})
		}
	}
}
