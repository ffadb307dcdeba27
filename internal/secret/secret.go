// Package secret judges tokens and passwords.
package secret

import (
	"strings"
	"unicode"
)

// A strong secret has at least strongLength characters, which is 128 bits of base64,
// and as many different ones as chance gives almost always: more of them when it has
// letters of one case alone, as words do.
const (
	strongLength    = 22
	strongDifferent = 9
	wordsDifferent  = 14
)

// Strong reports whether a secret looks as if it was made by chance and is so long
// that guesses over the network need no other limit.
func Strong(s string) bool {
	different, classes := map[rune]bool{}, map[int]bool{}
	for _, r := range s {
		different[r], classes[class(r)] = true, true
	}
	least := strongDifferent
	if len(classes) == 1 {
		least = wordsDifferent
	}
	return len(s) >= strongLength && len(different) >= least && !repeats(s)
}

func class(r rune) int {
	switch {
	case unicode.IsLower(r):
		return 0
	case unicode.IsUpper(r):
		return 1
	}
	return 2
}

// repeats reports whether s is a shorter text again and again.
func repeats(s string) bool {
	for n := 1; n <= len(s)/2; n++ {
		if strings.HasPrefix(s[n:], s[:len(s)-n]) {
			return true
		}
	}
	return false
}
