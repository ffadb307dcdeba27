package secret

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
)

func TestRandomTokensAreStrong(t *testing.T) {
	t.Parallel()
	for range 2000 {
		b := make([]byte, 32)
		rand.Read(b)
		for _, s := range []string{hex.EncodeToString(b), rand.Text() + "2", base64.StdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b[:24])} {
			if !Strong(s) {
				t.Errorf("%s is weak", s)
			}
		}
	}
}

func TestPlainWordsNumbersAndRepetitionsAreWeakHoweverLong(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "short-and-random-X7k", strings.Repeat("a", 100), strings.Repeat("password", 10), "passwordpasswordpassword",
		strings.Repeat("Passw0rd!", 5), "correcthorsebatterystaple", "0123456789012345678901234567890", "12345678901234567890123",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1",
	} {
		if Strong(s) {
			t.Errorf("%s is strong", s)
		}
	}
}
