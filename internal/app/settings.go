package app

import (
	"net"
	"strings"

	"evalq/internal/config"
	"evalq/internal/doctor"
	"evalq/internal/ledger/postgres"
	"evalq/internal/mysqlurl"
	"evalq/internal/redisconn"
)

// plainPlaces are what the settings reach on other machines without TLS.
func plainPlaces(cfg config.Config) (places []doctor.PlainPlace) {
	add := func(setting, remedy string, hosts ...string) {
		for _, host := range hosts {
			if host != "" && !loopback(host) {
				places = append(places, doctor.PlainPlace{Setting: setting, Host: host, Remedy: remedy})
			}
		}
	}
	const useMySQL, useRedis = "add tls=true to the URL, or ssl-ca=FILE for an authority of your own", "write rediss:// in place of redis://"
	if strings.HasPrefix(cfg.LedgerURL, mysqlurl.Scheme) {
		add("--ledger-url", useMySQL, mysqlurl.PlainHost(cfg.LedgerURL))
	} else if cfg.LedgerURL != "" {
		add("--ledger-url", "add sslmode=verify-full to the URL, and sslrootcert=FILE for an authority of your own", postgres.PlainHosts(cfg.LedgerURL)...)
	}
	if cfg.PlatformDB != "" {
		add("--platform-db", useMySQL, mysqlurl.PlainHost(cfg.PlatformDB))
	}
	if cfg.Engine == config.EngineRedis {
		add("--redis-url", useRedis, redisconn.PlainHost(cfg.RedisURL))
	}
	if cfg.BridgeRedisURL != "" && cfg.BridgeRedisURL != cfg.RedisURL {
		add("--bridge-redis-url", useRedis, redisconn.PlainHost(cfg.BridgeRedisURL))
	}
	return places
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// tokenSettings are the tokens that are set.
func tokenSettings(cfg config.Config) map[string]string {
	tokens := map[string]string{}
	for name, token := range map[string]string{"EVALQ_OPERATOR_TOKEN": cfg.OperatorToken, "EVALQ_VIEWER_TOKEN": cfg.ViewerToken} {
		if token != "" {
			tokens[name] = token
		}
	}
	return tokens
}
