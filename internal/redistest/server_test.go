package redistest

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServerKeepsDataOverAKillOnlyWithAOF(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]Option{"memory only": nil, "append-only file": {WithAOF()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := Start(t, options...)
			if err := s.Client(t).Set(t.Context(), "k", "v", 0).Err(); err != nil {
				t.Fatal(err)
			}
			s.Kill()
			if err := s.Client(t).Ping(t.Context()).Err(); err == nil {
				t.Fatal("the server answers after Kill")
			}
			s.Restart()
			got := s.Client(t).Get(t.Context(), "k").Val()
			if want := map[bool]string{true: "v"}[s.aof]; got != want {
				t.Errorf("after the restart k = %q, want %q", got, want)
			}
		})
	}
}

func TestServerListensOnTCPWithAPassword(t *testing.T) {
	t.Parallel()
	s := Start(t, WithTCP(), WithPassword("p@ss"))
	if err := s.Client(t).Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if want := "redis://:p%40ss@127.0.0.1:"; !strings.HasPrefix(s.URL, want) {
		t.Errorf("URL = %q, want it to begin with %q", s.URL, want)
	}
}

func TestServerStopsAndStartsAgainAtTheSamePlace(t *testing.T) {
	t.Parallel()
	s := Start(t)
	first := s.PID()
	s.Restart()
	if s.PID() == first {
		t.Errorf("process %d after Restart, want another one", first)
	}
	if err := s.Client(t).Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}
