package redisconn

import (
	"bytes"
	"strconv"
)

// errorLine is how much of an error reply is looked at.
const errorLine = 512

// replyScanner finds the error replies in a stream of Redis' protocol, also those
// inside the answers of pipelines and transactions. What is data is skipped, so
// that no payload is taken for an error.
type replyScanner struct {
	line []byte // of a reply that has not ended, its first bytes
	skip int64  // bytes of data to go
	blob bool   // the data is the text of an error
	lost bool   // this is not the protocol
}

func (s *replyScanner) scan(p []byte, found func(line string)) {
	for len(p) > 0 && !s.lost {
		if s.skip > 0 {
			n := min(int64(len(p)), s.skip)
			if s.blob {
				s.keep(p[:n])
			}
			if p, s.skip = p[n:], s.skip-n; s.skip == 0 && s.blob {
				found(string(s.line))
				s.blob, s.line = false, s.line[:0]
			}
			continue
		}
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			s.keep(p)
			return
		}
		s.keep(p[:end])
		p = p[end+1:]
		s.ended(found)
	}
}

func (s *replyScanner) keep(p []byte) {
	s.line = append(s.line, p[:min(len(p), errorLine-len(s.line))]...)
}

// ended looks at a whole line.
func (s *replyScanner) ended(found func(string)) {
	line := bytes.TrimSuffix(s.line, []byte("\r"))
	s.line = s.line[:0]
	if len(line) == 0 {
		s.lost = true
		return
	}
	switch line[0] {
	case '-':
		found(string(line[1:]))
	case '$', '=', '!':
		n, err := strconv.ParseInt(string(line[1:]), 10, 64)
		if err != nil {
			s.lost = true
			return
		}
		if n >= 0 {
			s.skip, s.blob = n+2, line[0] == '!' // the data ends with a line's end
		}
	}
}
