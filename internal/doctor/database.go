package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// setting is a number among the settings of the database, 0 when it is not there.
func (v *visit) setting(name string) int {
	n, _ := strconv.Atoi(v.settings[name])
	return n
}

var majorMinor = regexp.MustCompile(`^(\d+)\.(\d+)`)

func (v *visit) ledgerVersion(context.Context) ([]Finding, error) {
	switch {
	case v.settings == nil:
		return none()
	case v.Kind == Postgres:
		if v.setting("server_version_num") < 120000 {
			return one(failure("the database is PostgreSQL "+v.settings["server_version"]+": evalq needs 12 or newer", "upgrade it"))
		}
		return one(fine("PostgreSQL %s", v.settings["server_version"]))
	case v.Kind == MySQL:
		return one(mysqlVersion(v.settings["version"]))
	}
	return one(fine("SQLite, in this program"))
}

// mysqlVersion judges what VERSION() says: "8.0.36" or "10.11.6-MariaDB-…". Both
// kinds need SKIP LOCKED.
func mysqlVersion(version string) Finding {
	name, needs, least := "MySQL", "8.0", 8*1000+0
	if strings.Contains(version, "MariaDB") {
		name, needs, least = "MariaDB", "10.6", 10*1000+6
	}
	m := majorMinor.FindStringSubmatch(version)
	if m == nil {
		return warning("the database says that its version is "+clip(version), "see that it is MySQL 8.0, MariaDB 10.6 or newer")
	}
	major, _ := strconv.Atoi(m[1]) // digits
	minor, _ := strconv.Atoi(m[2])
	if major*1000+minor < least {
		return failure(fmt.Sprintf("the database is %s %s: evalq needs %s or newer", name, version, needs), "upgrade it")
	}
	return fine("%s %s", name, version)
}

// ledgerDurability finds the settings under which a commit that was answered can
// still be lost.
func (v *visit) ledgerDurability(context.Context) ([]Finding, error) {
	switch {
	case v.settings == nil:
		return none()
	case v.Kind == Postgres:
		return v.postgresDurability(), nil
	case v.Kind == MySQL:
		return v.mysqlDurability(), nil
	}
	return one(fine("WAL with synchronous=FULL: every commit is synced"))
}

func (v *visit) postgresDurability() []Finding {
	var out []Finding
	if v.settings["fsync"] != "on" {
		out = append(out, failure("fsync is off: when the machine loses power, accepted jobs are lost and the database may be broken", "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()"))
	}
	if v.settings["full_page_writes"] != "on" {
		out = append(out, failure("full_page_writes is off: when the machine loses power, the database may be broken", "ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf()"))
	}
	if v.settings["standby"] != "" {
		out = append(out, failure("this PostgreSQL is a standby and takes no writes", "name its primary in --ledger-url"))
	}
	if out == nil {
		out = append(out, fine("fsync is on, and evalq's own sessions set synchronous_commit on"))
	}
	return out
}

func (v *visit) mysqlDurability() []Finding {
	var out []Finding
	if s := v.settings["innodb_flush_log_at_trx_commit"]; s != "1" {
		out = append(out, warning("innodb_flush_log_at_trx_commit is "+s+": when the machine loses power, jobs accepted in the last second may be lost",
			"SET GLOBAL innodb_flush_log_at_trx_commit = 1, and the same in my.cnf so that it stays"))
	}
	if s := v.settings["sync_binlog"]; v.settings["log_bin"] == "1" && s != "1" {
		out = append(out, warning("sync_binlog is "+s+" with a binary log: when the machine loses power, the newest accepted jobs may be rolled back",
			"SET GLOBAL sync_binlog = 1, and the same in my.cnf so that it stays"))
	}
	if s := v.settings["read_only"]; s != "" && s != "0" && s != "OFF" {
		out = append(out, failure("this database is read-only", "name its primary in --ledger-url, or make it one: SET GLOBAL read_only = 0"))
	}
	if out == nil {
		out = append(out, fine("every commit is synced"))
	}
	return out
}

// leastPacket is the default of MariaDB; MySQL has 64 MiB.
const leastPacket = 16 << 20

// ledgerSettings finds the settings for which the database refuses writes.
func (v *visit) ledgerSettings(context.Context) ([]Finding, error) {
	if v.settings == nil || v.Kind == SQLite {
		return none()
	}
	var out []Finding
	if s := v.settings["server_encoding"]; v.Kind == Postgres && s != "" && s != "UTF8" {
		out = append(out, failure("the encoding of the database is "+clip(s)+": texts with other characters are refused", "make the database with ENCODING 'UTF8', and move the ledger into it"))
	}
	if packet := v.setting("max_allowed_packet"); v.Kind == MySQL && packet > 0 && packet < leastPacket {
		out = append(out, warning(fmt.Sprintf("max_allowed_packet is %d KiB: a result, a step or an interview above that is refused, and its job is dead", packet>>10),
			"SET GLOBAL max_allowed_packet = 67108864, and the same in my.cnf so that it stays"))
	}
	if v.settings["log_bin"] == "1" && strings.EqualFold(v.settings["binlog_format"], "STATEMENT") {
		out = append(out, failure("binlog_format is STATEMENT: the server refuses every write of evalq (error 1665)",
			"SET GLOBAL binlog_format = 'ROW', and the same in my.cnf so that it stays"))
	}
	if out == nil {
		out = append(out, fine("the database takes what evalq writes"))
	}
	return out, nil
}

func (v *visit) ledgerConnections(context.Context) ([]Finding, error) {
	used, most := v.setting("connections"), v.setting("max_connections")
	if v.settings == nil || v.Kind == SQLite || most == 0 {
		return none()
	}
	what := fmt.Sprintf("%d of %d connections are taken", used, most)
	if float64(used) >= full*float64(most) {
		return one(warning(what+"; when all are, processes of evalq cannot connect", "raise max_connections, or see who holds them; a process of evalq takes up to 15"))
	}
	return one(fine("%s", what))
}

// Below so much free room, a disk is about to be full.
const (
	leastRoom = 1 << 30
	leastPart = 0.05
	plenty    = 20 << 30 // whatever part of the disk that is
	longWAL   = 512 << 20
)

func (v *visit) ledgerDisk(context.Context) ([]Finding, error) {
	if v.Dir == "" {
		return none()
	}
	free, total, err := room(v.Dir)
	if err != nil {
		return nil, err
	}
	out := []Finding{judgeRoom(free, total)}
	if file := v.settings["file"]; file != "" {
		if info, err := os.Stat(file + "-wal"); err == nil && info.Size() > longWAL {
			out = append(out, note("its log of writes has grown to "+size(info.Size())+": somebody reads without an end, so that it cannot be folded in", "see who has the file open; a restart folds it in"))
		}
	}
	if err := syscall.Access(existing(v.Dir), 2); err != nil {
		out = append(out, failure("this user may not write into "+v.Dir, "choose another folder with --data-dir, or change its owner"))
	}
	return out, nil
}

func judgeRoom(free, total int64) Finding {
	part := float64(free) / float64(max(total, 1))
	what := fmt.Sprintf("%s of %s are free on the disk of the ledger", size(free), size(total))
	if free < leastRoom || part < leastPart && free < plenty {
		return warning(what+"; when it is full, nothing is accepted", "make room, or move the folder to a larger disk while no server runs")
	}
	return fine("%s", what)
}

// room asks how much of a folder's disk is free for this user.
func room(dir string) (free, total int64, err error) {
	var s syscall.Statfs_t
	dir = existing(dir)
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, fmt.Errorf("ask for the room in %q: %w", dir, err)
	}
	// The types of the fields differ among systems.
	return int64(s.Bavail) * int64(s.Bsize), int64(s.Blocks) * int64(s.Bsize), nil
}

// existing is the folder, or the nearest above it that is there.
func existing(dir string) string {
	for {
		_, err := os.Stat(dir)
		if err == nil || !errors.Is(err, os.ErrNotExist) || filepath.Dir(dir) == dir {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}
