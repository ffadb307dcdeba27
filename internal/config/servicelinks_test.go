package config

import (
	"strings"
	"testing"
)

// kubernetes is what a pod gets of the Services evalq, evalq-api, evalq-redis (dual
// stack) and evalq-dns in its namespace.
var kubernetes = []string{
	"EVALQ_SERVICE_HOST=10.96.14.3", "EVALQ_SERVICE_PORT=8080", "EVALQ_SERVICE_PORT_HTTP=8080", "EVALQ_SERVICE_PORT_HTTP_METRICS=9090",
	"EVALQ_PORT=tcp://10.96.14.3:8080", "EVALQ_PORT_8080_TCP=tcp://10.96.14.3:8080", "EVALQ_PORT_8080_TCP_PROTO=tcp",
	"EVALQ_PORT_8080_TCP_PORT=8080", "EVALQ_PORT_8080_TCP_ADDR=10.96.14.3",
	"EVALQ_API_SERVICE_HOST=10.96.14.4", "EVALQ_API_SERVICE_PORT=80", "EVALQ_API_PORT=tcp://10.96.14.4:80",
	"EVALQ_REDIS_SERVICE_HOST=fd00::1:3", "EVALQ_REDIS_PORT=tcp://[fd00::1:3]:6379", "EVALQ_REDIS_PORT_6379_TCP=tcp://[fd00::1:3]:6379",
	"EVALQ_REDIS_PORT_6379_TCP_ADDR=fd00::1:3",
	"EVALQ_DNS_PORT=udp://10.96.14.5:53", "EVALQ_DNS_PORT_53_UDP=udp://10.96.14.5:53", "EVALQ_DNS_PORT_53_UDP_PROTO=udp",
	"EVALQ_DNS_PORT_5060_SCTP=sctp://10.96.14.5:5060", "EVALQ_DNS_PORT_5060_SCTP_PROTO=sctp",
}

// docker is what --link gives, here with a range of ports and a variable of the
// linked container.
var docker = []string{
	"EVALQ_NAME=/web/evalq", "EVALQ_PORT=tcp://172.17.0.2:8080", "EVALQ_PORT_8080_TCP_START=tcp://172.17.0.2:8080",
	"EVALQ_PORT_8080_TCP_END=tcp://172.17.0.2:8090", "EVALQ_PORT_8080_TCP_PORT_START=8080", "EVALQ_PORT_8080_TCP_PORT_END=8090",
	"EVALQ_ENV_PATH=/usr/bin", "EVALQ_ENV_EVALQ_CONCURENCY=7", "EVALQ_OLD_NAME=/web/evalq-old", "EVALQ_OLD_ENV_MY_ENV_X=",
	"EVALQ_1_NAME=/web/evalq_1", "EVALQ_1_ENV_A=b",
}

func TestVariablesThatKubernetesAndDockerMakeForServicesNamedEvalqAreIgnored(t *testing.T) {
	t.Parallel()
	for name, made := range map[string][]string{"Kubernetes": kubernetes, "Docker": docker} {
		c := load(t, append([]string{"EVALQ_CONCURRENCY=3"}, made...), nil, file(t, strings.Join(made, "\n")+"\nEVALQ_WINDOW=20\n"))
		if c.Concurrency != 3 || c.Window != 20 {
			t.Errorf("%s: concurrency %d, window %d, want the settings 3 and 20", name, c.Concurrency, c.Window)
		}
		if _, err := LoadClient(made, nil, ""); err != nil {
			t.Errorf("%s: a verb that talks to a server: %v", name, err)
		}
	}
}

func TestAMistypedSettingIsStillRefusedWhenItsNameLooksLikeAServices(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"EVALQ_PORT=8080", "EVALQ_PORT=", "EVALQ_LISTEN_PORT=8080", "EVALQ_REDIS_PORT=6379", "EVALQ_PORT=tcp://evalq:8080", "EVALQ_PORT=tcp://10.0.0.1",
		"EVALQ_SERVICE_HOST=evalq.example", "EVALQ_SERVICE_PORT=https", "EVALQ_SERVICE_NAME=evalq", "EVALQ_NAME=evalq", "EVALQ_NAMESPACES=/a/b",
		"EVALQ_ENV=production", "EVALQ_ENV_FILE=/etc/evalq", "EVALQ_PORT_8080_TCP_PROTO=http", "EVALQ_REDIS_ADDR=10.0.0.1", "EVALQ_CONCURENCY=3",
	} {
		name, _, _ := strings.Cut(line, "=")
		_, err := Load([]string{home, line}, nil, "")
		if err == nil || !strings.Contains(err.Error(), name+" in the environment is not a setting") {
			t.Errorf("%s: %v, want that it is no setting", line, err)
		}
		if _, err := Load([]string{home}, nil, file(t, line+"\n")); err == nil {
			t.Errorf("%s in a file of variables is taken", line)
		}
	}
}

func TestAServerRefusesATimeZoneThatIsNotKnown(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"Asia/Shangai", "CST-8", "/nowhere/zone"} {
		_, err := Load([]string{home, "TZ=" + value}, nil, "")
		if err == nil || !strings.Contains(err.Error(), "TZ is \""+value+"\"") || IsPlace(err) {
			t.Errorf("TZ=%s: %v, want that it is bad input, with the value", value, err)
		}
	}
	load(t, []string{"TZ=:Asia/Shanghai"}, nil, "")
	load(t, []string{"TZ="}, nil, "")
}
