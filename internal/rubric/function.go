package rubric

import "strings"

// functionWords are English words that carry grammar. They are no terms of a
// reference, and an answer without any is a list of words.
var functionWords = wordSet(`a an the this that these those it its it's they them their he she his her we us our you your i me my
who whom whose which what when where why how is am are was were be been being
do does did doing done has have had having can could will would shall should may might must
of in on at by to for from with into onto about as than then so such and or but if because while there
s t ll re ve d m`)

// functionRunes are Chinese characters that mostly carry grammar.
var functionRunes = runeSet("的了是在和就都而及与或但也把被让从到对为以于由所之其这那它他她我你们个些着过吗呢吧啊得地等则且并又还再很会可能要因此如果当即")

func wordSet(list string) map[string]struct{} {
	set := map[string]struct{}{}
	for _, w := range strings.Fields(list) {
		set[w] = struct{}{}
	}
	return set
}

func runeSet(list string) map[rune]struct{} {
	set := map[rune]struct{}{}
	for _, r := range list {
		set[r] = struct{}{}
	}
	return set
}

func isFunctionWord(w string) bool {
	_, ok := functionWords[strings.ReplaceAll(w, "’", "'")]
	return ok
}
func isFunctionRune(r rune) bool { _, ok := functionRunes[r]; return ok }
