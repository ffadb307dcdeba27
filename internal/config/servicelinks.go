package config

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// Kubernetes puts variables for every Service of the namespace into each container,
// and docker run --link does so for the linked container. For a Service or an alias
// named evalq, or evalq-anything, their names begin as those of settings do. The name
// is not enough to tell them from a mistyped setting: the value has to have the form
// that the host writes.
var serviceLinks = []struct {
	name *regexp.Regexp
	made func(value string) bool
}{
	{regexp.MustCompile(`_SERVICE_HOST$`), isAddress},
	{regexp.MustCompile(`_SERVICE_PORT(_[A-Z0-9_]+)?$`), isPort},
	{regexp.MustCompile(`_PORT_\d+_(TCP|UDP|SCTP)_PROTO$`), isProtocol},
	{regexp.MustCompile(`_PORT_\d+_(TCP|UDP|SCTP)_ADDR$`), isAddress},
	{regexp.MustCompile(`_PORT_\d+_(TCP|UDP|SCTP)_PORT(_START|_END)?$`), isPort},
	{regexp.MustCompile(`_PORT_\d+_(TCP|UDP|SCTP)(_START|_END)?$`), isEndpoint},
	{regexp.MustCompile(`_PORT(_START|_END)?$`), isEndpoint},
	{regexp.MustCompile(`_NAME$`), isLinkName},
}

// dropServiceLinks removes from vars the variables that Kubernetes or Docker makes
// for Services and links. They are no settings of evalq.
func dropServiceLinks(vars map[string]string) {
	linked := map[string]bool{} // the prefixes of --link
	for name, value := range vars {
		if before, ok := strings.CutSuffix(name, "_NAME"); ok && isLinkName(value) {
			linked[before] = true
		}
	}
	for name, value := range vars {
		if strings.HasPrefix(name, prefix) && (isServiceLink(name, value) || isCopied(name, linked)) {
			delete(vars, name)
		}
	}
}

func isServiceLink(name, value string) bool {
	for _, l := range serviceLinks {
		if l.name.MatchString(name) && l.made(value) {
			return true
		}
	}
	return false
}

// isCopied takes the shortest prefix that was linked: a copied variable may have
// _ENV_ in its own name.
func isCopied(name string, linked map[string]bool) bool {
	for at := 0; ; {
		i := strings.Index(name[at:], "_ENV_")
		if i < 0 || at+i+len("_ENV_") == len(name) {
			return false
		}
		if linked[name[:at+i]] {
			return true
		}
		at += i + 1
	}
}

func isAddress(value string) bool {
	_, err := netip.ParseAddr(value)
	return err == nil
}

func isPort(value string) bool {
	n, err := strconv.ParseUint(value, 10, 16)
	return err == nil && n > 0
}

func isProtocol(value string) bool { return value == "tcp" || value == "udp" || value == "sctp" }

// isEndpoint: tcp://10.0.0.1:8080, with brackets around an IPv6 address.
func isEndpoint(value string) bool {
	protocol, rest, ok := strings.Cut(value, "://")
	if !ok || !isProtocol(protocol) {
		return false
	}
	i := strings.LastIndexByte(rest, ':')
	if i < 0 {
		return false
	}
	// Kubernetes before 1.16 wrote IPv6 addresses without brackets.
	host := strings.TrimSuffix(strings.TrimPrefix(rest[:i], "["), "]")
	return isAddress(host) && isPort(rest[i+1:])
}

// isLinkName: /container/alias, as Docker names a link.
func isLinkName(value string) bool {
	rest, ok := strings.CutPrefix(value, "/")
	container, alias, cut := strings.Cut(rest, "/")
	return ok && cut && container != "" && alias != "" && !strings.Contains(alias, "/")
}
