package engine

import (
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2/server"
)

// writes has the commands of asynq's scripts and of evalq that change data.
var writes = map[string]bool{
	"DEL": true, "EXPIRE": true, "EXPIREAT": true, "FLUSHALL": true, "FLUSHDB": true, "HDEL": true,
	"HSET": true, "INCR": true, "LPUSH": true, "LREM": true, "RPOPLPUSH": true, "RPUSH": true,
	"SADD": true, "SET": true, "SETEX": true, "SREM": true, "ZADD": true, "ZREM": true,
	"ZREMRANGEBYRANK": true, "ZREMRANGEBYSCORE": true,
}

// infoPage answers INFO for the embedded engine, whose own answer has too
// little for Asynqmon's Redis page. Memory is that of this whole process,
// since the engine is a part of it.
type infoPage struct {
	srv     *server.Server
	started time.Time
	version string
	changes atomic.Int64 // write commands so far
	peak    atomic.Uint64
}

func newInfoPage(srv *server.Server, now time.Time) *infoPage {
	p := &infoPage{srv: srv, started: now, version: serverVersion()}
	p.sample()
	return p
}

// serverVersion names the server module that this binary was built with.
func serverVersion() string {
	const module = "github.com/alicebob/miniredis/v2"
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range build.Deps {
			if dep.Path == module {
				return "miniredis " + dep.Version
			}
		}
	}
	return "miniredis"
}

type memoryUse struct {
	used, peak, resident uint64
}

// sample reads the process' memory and keeps the highest value seen.
func (p *infoPage) sample() memoryUse {
	m := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(m)
	used := m[0].Value.Uint64()
	for {
		peak := p.peak.Load()
		if used <= peak || p.peak.CompareAndSwap(peak, used) {
			break
		}
	}
	return memoryUse{
		used:     used,
		peak:     p.peak.Load(),
		resident: m[1].Value.Uint64() - m[2].Value.Uint64(),
	}
}

// render returns the sections asked for, all of them when none is named. Like
// Redis it ignores a section that it does not have.
func (p *infoPage) render(wanted []string) string {
	var b strings.Builder
	for _, s := range p.sections() {
		if !wants(wanted, s.name) {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString("# " + s.name + "\r\n")
		for _, line := range s.lines {
			b.WriteString(line + "\r\n")
		}
	}
	return b.String()
}

func wants(wanted []string, name string) bool {
	if len(wanted) == 0 {
		return true
	}
	for _, w := range wanted {
		switch strings.ToLower(w) {
		case strings.ToLower(name), "all", "default", "everything":
			return true
		}
	}
	return false
}

type infoSection struct {
	name  string
	lines []string
}

func (p *infoPage) sections() []infoSection {
	up := time.Since(p.started)
	mem := p.sample()
	return []infoSection{
		{"Server", []string{
			"redis_version:" + p.version,
			"redis_mode:standalone",
			fmt.Sprintf("uptime_in_seconds:%d", int64(up.Seconds())),
			fmt.Sprintf("uptime_in_days:%d", int64(up.Hours()/24)),
		}},
		{"Clients", []string{
			fmt.Sprintf("connected_clients:%d", p.srv.ClientsLen()),
		}},
		{"Memory", []string{
			fmt.Sprintf("used_memory:%d", mem.used),
			"used_memory_human:" + humanBytes(mem.used),
			fmt.Sprintf("used_memory_peak:%d", mem.peak),
			"used_memory_peak_human:" + humanBytes(mem.peak),
			fmt.Sprintf("mem_fragmentation_ratio:%.2f", float64(mem.resident)/float64(max(mem.used, 1))),
		}},
		{"Persistence", []string{
			"loading:0",
			"aof_enabled:0",
			fmt.Sprintf("rdb_changes_since_last_save:%d", p.changes.Load()),
			// Nothing is ever saved. Redis says when it started in that case.
			fmt.Sprintf("rdb_last_save_time:%d", p.started.Unix()),
		}},
		{"Stats", []string{
			fmt.Sprintf("total_connections_received:%d", p.srv.TotalConnections()),
			fmt.Sprintf("total_commands_processed:%d", p.srv.TotalCommands()),
		}},
		{"Replication", []string{
			"role:master",
			"connected_slaves:0",
		}},
	}
}

// humanBytes writes a size as Redis does: 1.50M, 512B.
func humanBytes(n uint64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%dB", n)
	}
	value, unit := float64(n), ""
	for _, unit = range []string{"K", "M", "G", "T"} {
		value /= step
		if value < step {
			break
		}
	}
	return fmt.Sprintf("%.2f%s", value, unit)
}
