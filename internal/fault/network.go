package fault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"

	"evalq/tasks"
)

// fromNetwork reads what a client can meet before it has a whole answer.
func fromNetwork(err error, inCall bool) tasks.Class {
	switch e := err.(type) {
	case *url.Error:
		return ofCall(e)
	case *net.OpError:
		if e.Op == "dial" && e.Addr != nil && !inCall {
			// net/http's client wraps what fails when it dials; clients of databases,
			// such as the driver below GORM, do not.
			return tasks.ClassStorage
		}
		return tasks.ClassUnavailable
	case *net.DNSError, *tls.CertificateVerificationError, tls.RecordHeaderError, tls.AlertError,
		x509.UnknownAuthorityError, x509.HostnameError, x509.CertificateInvalidError:
		return tasks.ClassUnavailable
	case syscall.Errno:
		return ofErrno(e)
	}
	switch err {
	case context.DeadlineExceeded, os.ErrDeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed:
		return tasks.ClassUnavailable
	}
	if t, ok := err.(net.Error); ok && t.Timeout() {
		return tasks.ClassUnavailable
	}
	if contains(err.Error(), httpTexts...) && len(unwrap(err)) == 0 {
		return tasks.ClassUnavailable
	}
	return ""
}

// ofCall reads what net/http's client returns: each of its errors is one of the
// network, but for requests that could not be made at all and those that the
// program itself has ended.
func ofCall(e *url.Error) tasks.Class {
	if e.Op == "parse" || errors.Is(e.Err, context.Canceled) || e.Err == nil {
		return ""
	}
	if contains(e.Err.Error(), "unsupported protocol scheme", "no Host in request URL", "invalid header", "invalid method", "stopped after") {
		return ""
	}
	if f := look(e.Err); f.class != "" {
		return "" // a transport of the program's own says more, such as a status
	}
	return tasks.ClassUnavailable
}

func ofErrno(e syscall.Errno) tasks.Class {
	switch e {
	case syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ETIMEDOUT,
		syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN, syscall.ENETRESET, syscall.ENOTCONN,
		syscall.EADDRNOTAVAIL, syscall.EMFILE, syscall.ENFILE:
		return tasks.ClassUnavailable
	case syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO:
		return tasks.ClassStorage
	}
	return ""
}

// httpTexts are of errors whose types net/http and x/net/http2 keep to themselves.
var httpTexts = []string{
	"http2: server sent GOAWAY", "stream error: stream ID", "http2: client connection lost", "http2: response body closed",
	"http2: client conn", "connection error: ", "http: server closed idle connection", "tls: handshake failure",
	"net/http: TLS handshake timeout", "timeout awaiting response headers", "http2: Transport received", "malformed HTTP response",
}

// trimmed may stand behind the text of a first error.
const trimmed = " \n\t.)]"

func endsWith(text string, ends []string) bool {
	text = strings.TrimRight(text, trimmed)
	for _, e := range ends {
		if strings.HasSuffix(text, e) {
			return true
		}
	}
	return false
}
