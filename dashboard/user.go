package dashboard

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
)

// Role is what a user may do.
type Role string

// The two roles.
const (
	Viewer   Role = "viewer"   // may look at everything and change nothing
	Operator Role = "operator" // may do everything
)

// minSecret is the shortest password or token that is taken.
const minSecret = 8

// User may sign in. The secret is a password when it is typed with the name,
// and a token when it is sent alone.
type User struct {
	Name   string
	Secret string
	Role   Role
}

// String leaves the secret out, so that a printed User gives nothing away.
func (u User) String() string { return fmt.Sprintf("%s (%s)", u.Name, u.Role) }

// GoString leaves the secret out as well.
func (u User) GoString() string { return u.String() }

// users checks secrets. It keeps only keyed digests of them.
type users struct {
	key  [32]byte
	list []knownUser
}

type knownUser struct {
	identity identity
	digest   [sha256.Size]byte
}

func newUsers(configured []User) (*users, error) {
	u := &users{}
	if _, err := rand.Read(u.key[:]); err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for i, user := range configured {
		if err := user.validate(); err != nil {
			return nil, fmt.Errorf("Users[%d].%w", i, err)
		}
		digest := u.digest(user.Secret)
		for _, other := range u.list {
			if other.digest == digest {
				return nil, fmt.Errorf("Users[%d].Secret: the same as that of %q; a token must name one user", i, other.identity.name)
			}
		}
		if names[user.Name] {
			return nil, fmt.Errorf("Users[%d].Name: %q is given twice", i, user.Name)
		}
		names[user.Name] = true
		u.list = append(u.list, knownUser{identity{user.Name, user.Role == Operator}, digest})
	}
	return u, nil
}

func (u User) validate() error {
	if u.Name == "" || len(u.Name) > 64 {
		return errors.New("Name: give 1 to 64 bytes")
	}
	if len(u.Secret) < minSecret {
		return fmt.Errorf("Secret: give at least %d characters", minSecret)
	}
	if u.Role != Viewer && u.Role != Operator {
		return fmt.Errorf("Role: %q is neither %q nor %q", string(u.Role), Viewer, Operator)
	}
	return nil
}

func (u *users) digest(secret string) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, u.key[:])
	mac.Write([]byte(secret))
	mac.Sum(sum[:0])
	return sum
}

// find gives the user with this secret. An empty name matches any user. It
// looks at all of them, so that the time taken tells nothing.
func (u *users) find(name, secret string) (identity, bool) {
	digest := u.digest(secret)
	var found identity
	ok := false
	for _, user := range u.list {
		same := subtle.ConstantTimeCompare(digest[:], user.digest[:]) == 1
		if same && (name == "" || name == user.identity.name) {
			found, ok = user.identity, true
		}
	}
	return found, ok
}

// named gives the user of a session.
func (u *users) named(name string) (identity, bool) {
	for _, user := range u.list {
		if user.identity.name == name {
			return user.identity, true
		}
	}
	return identity{}, false
}
