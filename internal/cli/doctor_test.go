package cli

import (
	"strings"
	"testing"

	"evalq/internal/config"
	"evalq/internal/doctor"
	"evalq/internal/redistest"
)

func TestDoctorEndsWithACodeForScripts(t *testing.T) {
	t.Parallel()
	good := redistest.Start(t, redistest.WithAOF())
	bad := redistest.Start(t, redistest.WithPassword("s3cret"), redistest.WithArgs("--maxmemory-policy", "allkeys-lru"))
	dir := t.TempDir()

	e := run(t, nil, "", "doctor", "--data-dir", dir, "--redis-url", good.URL).want(t, 0, "LEVEL", "redis.version", "no warnings")
	if e.err != "" {
		t.Errorf("it complains: %s", e.err)
	}
	e = run(t, nil, "", "doctor", "--data-dir", dir, "--redis-url", good.URL, "--quiet").want(t, 0)
	if e.out != "no warnings\n" {
		t.Errorf("it is not quiet:\n%s", e.out)
	}

	e = run(t, nil, "", "doctor", "--data-dir", dir, "--redis-url", bad.URL, "--quiet").want(t, 8, "redis.eviction", "-> CONFIG SET maxmemory-policy noeviction", "2 warnings")
	if strings.Contains(e.out+e.err, "s3cret") || strings.Contains(e.out, "redis.version") {
		t.Errorf("it says:\n%s%s", e.out, e.err)
	}

	bad.Kill()
	e = run(t, nil, "", "doctor", "--data-dir", dir, "--redis-url", bad.URL).want(t, 1, "failure  redis ", "start Redis", "1 failure")
	if !strings.HasPrefix(strings.SplitN(e.out, "\n", 3)[1], "failure") {
		t.Errorf("the worst is not first:\n%s", e.out)
	}
	if strings.Contains(e.out+e.err, "s3cret") {
		t.Errorf("a password is shown:\n%s%s", e.out, e.err)
	}

	run(t, nil, "", "doctor", "--engine", "postgres").want(t, 2, "--engine")
	run(t, nil, "", "doctor", "x").want(t, 2)
}

func TestDoctorPrintsJSON(t *testing.T) {
	t.Parallel()
	bad := redistest.Start(t)
	var d diagnosis
	run(t, nil, "", "doctor", "--data-dir", t.TempDir(), "--redis-url", bad.URL, "--json").want(t, 8).decode(t, &d)
	if d.Level != doctor.Warning || d.Warnings != 1 || d.Failures != 0 || len(d.Findings) < 10 {
		t.Errorf("%+v", d)
	}
	for _, f := range d.Findings {
		if f.Check == "" || f.Level == "" || f.What == "" || f.Level == doctor.Warning && f.Do == "" {
			t.Errorf("%+v", f)
		}
	}
	run(t, nil, "", "doctor", "--data-dir", t.TempDir(), "--json", "--quiet").want(t, 0).decode(t, &d)
	if d.Findings == nil || len(d.Findings) != 0 || d.Level != doctor.OK {
		t.Errorf("%+v", d)
	}
}

func TestDoctorLooksBesideARunningServer(t *testing.T) {
	t.Parallel()
	var dir string
	w := start(t, func(c *config.Config) { dir = c.DataDir })
	listen := strings.TrimPrefix(w.url, "http://")
	run(t, nil, "", "doctor", "--data-dir", dir, "--listen", listen, "--deep").want(t, 0, w.url+", which has the ledger open, says that it can be written", "inside the server's process")
	w.run(t, "submit", "evaluation_report", "--user", "1", "--report", "2").want(t, 0) // which goes on
}
