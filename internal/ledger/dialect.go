package ledger

import (
	"strconv"
	"strings"
	"sync"

	"evalq/internal/dberror"
)

// Dialect holds the few words in which the databases differ. Statements are
// written once, with ? for their arguments; those that change rows which they
// have read before say lock or free behind the SELECT.
type Dialect struct {
	Name  string // "sqlite", "mysql" or "postgres"
	Begin string // opens a transaction that may write
	// Session is run on the writer's connection before its first transaction.
	Session []string
	// OneOwner is set when the database belongs to one process, so that
	// attempts found running at the start belong to a process that is gone.
	OneOwner bool
	// Numbered is set when arguments are $1, $2 … in place of ?.
	Numbered bool
	// lock keeps the rows that a SELECT reads from others until the commit, and
	// fails when somebody else holds one; wait waits for that; free leaves such
	// rows out.
	lock, wait, free string
	// nowait goes before a statement that changes rows, where the session cannot
	// say that it waits for no lock.
	nowait string
	// returning is set when an INSERT can give back the key that it made.
	returning bool
	// arrays is set when an argument can be a whole column.
	arrays bool
	// clock is the database's own time in milliseconds; empty when the
	// process's is as good.
	clock string
	// savepoint marks a place in a transaction. Outside of one it fails.
	savepoint []string
	// notify tells those who Listen, once the transaction has been committed.
	notify string

	// readOnly asks whether the server takes no writes, whatever this user may do: 0
	// when it does. Empty where there is nothing to ask.
	readOnly string

	// Fault finds what an error of the driver means. Nil means that each one is the
	// database's answer, and unknown.
	Fault func(error) dberror.Fault
}

// SQLite is the dialect of a file that belongs to one process: its writer is
// alone, so no row needs a lock.
func SQLite() Dialect {
	return Dialect{Name: "sqlite", Begin: "BEGIN IMMEDIATE", OneOwner: true, returning: true}
}

// Postgres is the dialect of PostgreSQL. The session does not wait for locks, since
// all writes of the process stand behind each other; what meets one is repeated
// apart. And the server ends transactions that a stopped process left open.
func Postgres() Dialect {
	return Dialect{
		Name: "postgres", Begin: "BEGIN ISOLATION LEVEL READ COMMITTED", Numbered: true,
		Session: []string{
			"SET lock_timeout = '5ms'", "SET idle_in_transaction_session_timeout = '5s'", "SET synchronous_commit = on",
			// For statements outside of a transaction too.
			"SET default_transaction_isolation = 'read committed'",
			// The planner would otherwise plan for each size of a batch anew.
			"SET plan_cache_mode = force_generic_plan",
		},
		lock: " FOR UPDATE NOWAIT", wait: " FOR UPDATE", free: " FOR UPDATE SKIP LOCKED", returning: true, arrays: true,
		clock:     "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
		readOnly:  "SELECT CASE current_setting('transaction_read_only') WHEN 'off' THEN '0' ELSE '1' END",
		savepoint: []string{"SAVEPOINT evalq_submit"},
		notify:    "SELECT pg_notify('" + Channel + "', '')",
	}
}

// MySQL is the dialect of MySQL 8 and of MariaDB from 10.6 on, the first with
// SKIP LOCKED. Its session gives up as that of PostgreSQL does.
func MySQL() Dialect {
	return Dialect{
		Name: "mysql", Begin: "START TRANSACTION",
		Session: []string{
			"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
			// MariaDB reads what is in the comment, and then it is 0: no wait. MySQL's
			// least is a second.
			"SET SESSION innodb_lock_wait_timeout = 1, SESSION lock_wait_timeout = /*M!100300 0 * */ 1",
			// Where summer time ends, an hour of local time comes twice, and the clock
			// would be an hour ahead in the first.
			"SET SESSION time_zone = '+00:00'",
			// MariaDB reads what is in the comment and ends idle transactions; MySQL
			// can only end connections that are idle, whatever they do.
			"SET SESSION wait_timeout = /*M!100300 28800, SESSION idle_transaction_timeout = */ 5",
		},
		lock: " FOR UPDATE NOWAIT", wait: " FOR UPDATE", free: " FOR UPDATE SKIP LOCKED",
		// For the session as a whole 0 would make an error of SKIP LOCKED.
		nowait:   "/*M!100300 SET STATEMENT innodb_lock_wait_timeout = 0 FOR */ ",
		clock:    "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
		readOnly: "SELECT CAST(@@GLOBAL.read_only AS CHAR)",
		// The first is quietly ignored outside of a transaction.
		savepoint: []string{"SAVEPOINT evalq_submit", "ROLLBACK TO SAVEPOINT evalq_submit"},
	}
}

// Channel is where a PostgreSQL ledger tells that something was accepted.
const Channel = "evalq_wake"

// numbered remembers statements with their placeholders rewritten.
var numbered sync.Map

// sql gives a statement the placeholders of the database. No statement has a
// question mark in a literal.
func (d *Dialect) sql(query string) string {
	if !d.Numbered {
		return query
	}
	if q, ok := numbered.Load(query); ok {
		return q.(string)
	}
	var b strings.Builder
	n := 0
	for _, c := range query {
		if c != '?' {
			b.WriteRune(c)
			continue
		}
		n++
		b.WriteString("$" + strconv.Itoa(n))
	}
	q := b.String()
	numbered.Store(query, q)
	return q
}

// plain turns arguments into what every driver takes for every column: flags
// are numbers in all three schemas, and text is text.
func plain(args []any) []any {
	for i, a := range args {
		switch a := a.(type) {
		case bool:
			n := int64(0)
			if a {
				n = 1
			}
			args[i] = n
		case string:
			args[i] = legible(a)
		}
	}
	return args
}

// legible is text that every database takes: what other programs say may be no
// UTF-8, and PostgreSQL has no NUL. A refused message would keep its attempt from
// ever ending.
func legible(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// fits is s cut to n characters.
func fits(s string, n int) string {
	for at := range s {
		if n == 0 {
			return s[:at]
		}
		n--
	}
	return s
}

// list is n placeholders for IN (…).
func list(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }
