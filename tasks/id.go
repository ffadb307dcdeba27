package tasks

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

var jobIDPattern = regexp.MustCompile(`^[0-9a-z]{24}$`)

// NewID makes a job id: 24 lower-case letters and digits, which sort by the
// millisecond of now and carry 72 random bits behind it. It has no dash,
// because Asynqmon shows an id only up to its first dash.
func NewID(now time.Time) string {
	var b [15]byte
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(b[:6], ms[2:])
	_, _ = rand.Read(b[6:]) // crypto/rand.Read never fails; it ends the program instead
	return idEncoding.EncodeToString(b[:])
}

// ValidID reports whether s has the form of a job id.
func ValidID(s string) bool { return jobIDPattern.MatchString(s) }

// TaskID names one delivery of a job in Asynq. Each hand-over raises the
// delivery, so that a late acknowledgement of an old one finds nothing to
// acknowledge.
func TaskID(jobID string, delivery int) string { return jobID + "." + strconv.Itoa(delivery) }

// MaxDelivery is the highest number of a delivery: a JSON number keeps every digit up
// to it.
const MaxDelivery = 1<<53 - 1

// ParseTaskID is the inverse of TaskID.
func ParseTaskID(s string) (jobID string, delivery int, err error) {
	id, n, ok := strings.Cut(s, ".")
	if ok && ValidID(id) && n != "" && n[0] >= '1' && n[0] <= '9' {
		if delivery, err := strconv.Atoi(n); err == nil {
			return id, delivery, nil
		}
	}
	return "", 0, fmt.Errorf("task id %.80q is not of the form <job>.<delivery>", s)
}
