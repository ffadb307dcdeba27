package dberror_test

import (
	"errors"
	"strings"
	"testing"

	"evalq/internal/dberror"
)

func TestEachAnswerOfADatabaseIsTransientOrFinal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		got  dberror.Fault
		want dberror.Kind
	}{
		{"MySQL: deadlock", dberror.MySQL(1213, ""), dberror.InTheWay},
		{"MySQL: lock that took too long", dberror.MySQL(1205, ""), dberror.Locked},
		{"MySQL: NOWAIT", dberror.MySQL(3572, ""), dberror.Locked},
		{"MySQL: duplicate", dberror.MySQL(1062, ""), dberror.Duplicate},
		{"MySQL: shutdown", dberror.MySQL(1053, ""), dberror.Lost},
		{"MySQL: read-only", dberror.MySQL(1290, "The MariaDB server is running with the --read-only option so it cannot execute this statement"), dberror.Elsewhere},
		{"MySQL: secure_file_priv", dberror.MySQL(1290, "The MySQL server is running with the --secure-file-priv option so it cannot execute this statement"), dberror.Denied},
		{"MySQL: read-only mode of InnoDB", dberror.MySQL(1836, ""), dberror.Elsewhere},
		{"MySQL: cut off from its cluster", dberror.MySQL(1047, "WSREP has not yet prepared node for application use"), dberror.Elsewhere},
		{"MySQL: disk full", dberror.MySQL(1021, ""), dberror.Passing},
		{"MySQL: table full", dberror.MySQL(1114, ""), dberror.Passing},
		{"MySQL: no space in an error of the engine", dberror.MySQL(1030, "Got error 28 \"No space left on device\" from storage engine InnoDB"), dberror.Passing},
		{"MySQL: too many connections", dberror.MySQL(1040, ""), dberror.Passing},
		{"MySQL: packet", dberror.MySQL(1153, ""), dberror.Value},
		{"MySQL: long parameter", dberror.MySQL(1105, "Parameter of prepared statement which is set through mysql_send_long_data() is longer than 'max_allowed_packet' bytes"), dberror.Value},
		{"MySQL: too long for its column", dberror.MySQL(1406, ""), dberror.Value},
		{"MySQL: bad characters", dberror.MySQL(1366, ""), dberror.Value},
		{"MySQL: set of Galera", dberror.MySQL(1180, "Got error 90 \"Message too long\" during COMMIT"), dberror.Value},
		{"MySQL: a trigger", dberror.MySQL(1644, "no"), dberror.Value},
		{"MySQL: binlog", dberror.MySQL(1665, ""), dberror.Denied},
		{"MySQL: right", dberror.MySQL(1142, ""), dberror.Denied},
		{"MySQL: password", dberror.MySQL(1045, ""), dberror.Denied},
		{"MySQL: no table", dberror.MySQL(1146, ""), dberror.Absent},
		{"MySQL: new", dberror.MySQL(9999, ""), dberror.Unknown},

		{"PostgreSQL: serialization", dberror.Postgres("40001", false), dberror.InTheWay},
		{"PostgreSQL: deadlock", dberror.Postgres("40P01", false), dberror.InTheWay},
		{"PostgreSQL: NOWAIT", dberror.Postgres("55P03", false), dberror.Locked},
		{"PostgreSQL: duplicate", dberror.Postgres("23505", false), dberror.Duplicate},
		{"PostgreSQL: check", dberror.Postgres("23514", false), dberror.Value},
		{"PostgreSQL: NUL", dberror.Postgres("22021", false), dberror.Value},
		{"PostgreSQL: encoding", dberror.Postgres("22P05", false), dberror.Value},
		{"PostgreSQL: a trigger", dberror.Postgres("P0001", false), dberror.Value},
		{"PostgreSQL: read-only", dberror.Postgres("25006", false), dberror.Elsewhere},
		{"PostgreSQL: recovers", dberror.Postgres("57P03", true), dberror.Elsewhere},
		{"PostgreSQL: ended by an administrator", dberror.Postgres("57P01", true), dberror.Lost},
		{"PostgreSQL: disk full", dberror.Postgres("53100", false), dberror.Passing},
		{"PostgreSQL: disk full at the end of a session", dberror.Postgres("53100", true), dberror.Lost},
		{"PostgreSQL: too many connections", dberror.Postgres("53300", true), dberror.Passing},
		{"PostgreSQL: right", dberror.Postgres("42501", false), dberror.Denied},
		{"PostgreSQL: no table", dberror.Postgres("42P01", false), dberror.Absent},
		{"PostgreSQL: new", dberror.Postgres("ZZ001", false), dberror.Unknown},
		{"PostgreSQL: new, and the session ended", dberror.Postgres("ZZ001", true), dberror.Lost},

		{"SQLite: full", dberror.SQLite(13, ""), dberror.Passing},
		{"SQLite: read-only", dberror.SQLite(8, ""), dberror.Passing},
		{"SQLite: I/O", dberror.SQLite(10|12<<8, ""), dberror.Passing},
		{"SQLite: too big", dberror.SQLite(18, ""), dberror.Value},
		{"SQLite: constraint", dberror.SQLite(19|1<<8, ""), dberror.Value},
		{"SQLite: duplicate", dberror.SQLite(19|8<<8, ""), dberror.Duplicate},
		{"SQLite: damaged", dberror.SQLite(11, ""), dberror.Denied},
		{"SQLite: no table", dberror.SQLite(1, "no such table: evalq_jobs"), dberror.Absent},
		{"SQLite: new", dberror.SQLite(200, ""), dberror.Unknown},
	} {
		if c.got.Kind != c.want {
			t.Errorf("%s: kind %d, want %d", c.name, c.got.Kind, c.want)
		}
		if c.got.Code == "" {
			t.Errorf("%s: it has no code", c.name)
		}
	}
}

func TestWhatADatabaseSaysOfAValueQuotesNothingOfIt(t *testing.T) {
	t.Parallel()
	said := errors.New("Incorrect string value: 'the secret answer' for column 'body'")
	err := dberror.MySQL(1366, said.Error()).Explain(said)
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("it quotes the value: %v", err)
	}
	if !strings.Contains(err.Error(), "error 1366") || !strings.Contains(err.Error(), "character") {
		t.Errorf("it names no reason: %v", err)
	}
	if again := dberror.MySQL(1366, "").Explain(err); again != err {
		t.Errorf("it is explained twice: %v", again)
	}
}

func TestTheRemedyOfARefusalIsBesideItsReason(t *testing.T) {
	t.Parallel()
	err := dberror.MySQL(1665, "").Explain(errors.New("Cannot execute statement"))
	var told interface{ Remedy() string }
	if !errors.As(err, &told) || !strings.Contains(told.Remedy(), "binlog_format") {
		t.Errorf("its remedy is not told: %v", err)
	}
}
