package client

import (
	"errors"
	"net/url"
	"strings"
)

// parseBase reads the URL of a server.
func parseBase(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil: // its text quotes the URL, which may have a password in it
		return nil, errors.New("client: the URL cannot be read: write it like http://127.0.0.1:8080")
	case u.User != nil:
		return nil, errors.New("client: the URL has a user name or password in it: give a token as Config.Token instead")
	case u.Host == "" || u.Opaque != "":
		return nil, errors.New("client: the URL names no host: write it like http://127.0.0.1:8080")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("client: the URL has a ? or # in it: give only scheme, host and path")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}
