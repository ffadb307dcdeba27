// Package tlsfiles makes TLS settings of clients from files: the authority that a
// server's certificate has to come from, and a certificate of the client's own.
// The files are read again for each connection, so that keys can be exchanged
// while the program runs.
package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// Files says what to use. Each field may be empty, but Cert and Key go together.
type Files struct {
	CA         string // PEM file of the authorities to trust, in place of the system's
	Cert, Key  string // PEM files of the client's certificate, its chain included, and its key
	ServerName string // the name that the server's certificate has to have
	SkipVerify bool   // accept any certificate; contradicts CA
}

// Config reads the files once, so that a wrong one is told at the start: the error
// names the file. When a file cannot be used later, as between the exchange of a
// certificate and that of its key, what was read last goes on.
func (f Files) Config() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.ServerName, InsecureSkipVerify: f.SkipVerify}
	if (f.Cert == "") != (f.Key == "") {
		return nil, errors.New("a client's certificate and its key are two files, and both are needed")
	}
	if f.SkipVerify && f.CA != "" {
		return nil, errors.New("to name an authority and to accept any certificate contradict each other")
	}
	if f.Cert != "" {
		var last atomic.Pointer[tls.Certificate]
		pair, err := f.pair()
		if err != nil {
			return nil, err
		}
		last.Store(pair)
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if fresh, err := f.pair(); err == nil {
				last.Store(fresh)
			}
			return last.Load(), nil
		}
	}
	if f.CA != "" {
		var last atomic.Pointer[x509.CertPool]
		roots, err := f.roots()
		if err != nil {
			return nil, err
		}
		last.Store(roots)
		cfg.InsecureSkipVerify = true // verified below, by the file as it is then
		cfg.VerifyConnection = func(s tls.ConnectionState) error {
			if fresh, err := f.roots(); err == nil {
				last.Store(fresh)
			}
			return verify(s, last.Load(), f.ServerName)
		}
	}
	return cfg, nil
}

// verify does what crypto/tls does with RootCAs.
func verify(s tls.ConnectionState, roots *x509.CertPool, name string) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the server has sent no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	if _, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: between}); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
	}
	return nil
}

func (f Files) pair() (*tls.Certificate, error) {
	cert, err := os.ReadFile(f.Cert)
	if err != nil {
		return nil, fmt.Errorf("read the client's certificate: %w", err)
	}
	key, err := os.ReadFile(f.Key)
	if err != nil {
		return nil, fmt.Errorf("read the key of the client's certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("use the client's certificate %q with the key %q: %w", f.Cert, f.Key, err)
	}
	return &pair, nil
}

func (f Files) roots() (*x509.CertPool, error) {
	pem, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, fmt.Errorf("read the authorities to trust: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read the authorities to trust: %q has no certificate in PEM form", f.CA)
	}
	return pool, nil
}
