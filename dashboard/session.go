package dashboard

import (
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"
)

const (
	sessionCookie = "evalq_session"
	sessionLife   = 12 * time.Hour
	maxSessions   = 1024 // of one user
)

// sessions are kept in memory: signing out ends one at once, and all of them
// end with the process.
type sessions struct {
	mu   sync.Mutex
	live map[[sha256.Size]byte]session // by the digest of the id, so that memory holds no usable id
}

type session struct {
	user    string
	expires time.Time
}

func newSessions() *sessions { return &sessions{live: map[[sha256.Size]byte]session{}} }

// begin starts a session and returns its id.
func (s *sessions) begin(user string, now time.Time) (id string, expires time.Time) {
	id, expires = rand.Text()+rand.Text(), now.Add(sessionLife)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeRoom(user, now)
	s.live[sha256.Sum256([]byte(id))] = session{user, expires}
	return id, expires
}

// makeRoom drops what has expired and, when the user has all that one may have, the
// user's oldest. No user can end another's sessions, and there are as many users as
// are configured.
func (s *sessions) makeRoom(user string, now time.Time) {
	var oldest [sha256.Size]byte
	var first time.Time
	own := 0
	for key, one := range s.live {
		switch {
		case !now.Before(one.expires):
			delete(s.live, key)
		case one.user == user:
			if own++; first.IsZero() || one.expires.Before(first) {
				oldest, first = key, one.expires
			}
		}
	}
	if own >= maxSessions {
		delete(s.live, oldest)
	}
}

// user gives the name that the session belongs to.
func (s *sessions) user(id string, now time.Time) (string, bool) {
	key := sha256.Sum256([]byte(id))
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.live[key]
	if ok && !now.Before(one.expires) {
		delete(s.live, key)
		ok = false
	}
	return one.user, ok
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, sha256.Sum256([]byte(id)))
}

func (s *sessions) endAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.live)
}
