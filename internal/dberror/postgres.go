package dberror

// stateRow is one SQLSTATE, or all that begin so.
type stateRow struct {
	prefix   string
	kind     Kind
	what, do string
}

// postgresRows is the table for PostgreSQL. The first row whose prefix a code has
// counts; one that is in none is Unknown.
var postgresRows = []stateRow{
	{"40003", Lost, "", ""},
	{"40", InTheWay, "", ""},
	{"55P03", Locked, "", ""},
	{"23505", Duplicate, "", ""},
	{"25P01", Outside, "", ""},

	{"25006", Elsewhere, "the server is read-only", "name the primary in the URL, or several hosts, of which evalq takes the one that can be written; default_transaction_read_only must be off"},
	{"57P03", Elsewhere, "the server starts, stops or recovers", ""},
	{"25P03", Lost, "", ""}, {"25P04", Lost, "", ""},
	{"57P01", Lost, "", ""}, {"57P02", Lost, "", ""}, {"57P05", Lost, "", ""},
	{"08", Lost, "", ""},
	// A pooler gave the session to another server process, which does not know our
	// statements.
	{"26000", Lost, "the server does not know a prepared statement", "a pooler before it must pool sessions, not transactions"},
	{"42P05", Lost, "the server has a prepared statement already", "a pooler before it must pool sessions, not transactions"},

	{"53100", Passing, "the server's disk is full", "make room on it"},
	{"53300", Passing, "the server has no connection left", "raise max_connections, or see who holds them in pg_stat_activity; a process of evalq takes up to 15"},
	{"53", Passing, "", ""}, {"55006", Passing, "", ""}, {"57014", Passing, "", ""}, {"57", Passing, "", ""}, {"58", Passing, "", ""},

	{"28", Denied, "the server does not let this user in", "see the user and the password in the URL, and pg_hba.conf on the server"},
	{"42501", Denied, "this user lacks a right", "GRANT it: evalq needs ALL ON its tables, and CREATE ON SCHEMA to bring the schema up to date"},
	{"XX001", Denied, "a table of the server is damaged", "see the server's log, or restore a backup"},
	{"XX002", Denied, "an index of the server is damaged", "REINDEX it; see the server's log"},
	{"3D000", Absent, "the database is not there", "create it: CREATE DATABASE, with the name in the URL"},
	{"3F000", Absent, "the schema is not there", "create it, or see search_path"},
	{"42P01", Absent, "a table or column is not there", "see that it is the ledger's database; `evalq doctor` looks at the schema"},
	{"42703", Absent, "a table or column is not there", "see that it is the ledger's database; `evalq doctor` looks at the schema"},
	{"42", Denied, "", ""}, {"0A", Denied, "", ""},

	{"54", Value, "it is larger or more complex than the server takes", ""},
	{"22P05", Value, "it has characters that the encoding of the database does not have", "use a database with the encoding UTF8"},
	{"22021", Value, "it has characters that the encoding of the database does not have", "use a database with the encoding UTF8"},
	{"22001", Value, "it is longer than its column", ""},
	{"22003", Value, "it is out of range", ""},
	{"22", Value, "", ""}, {"23", Value, "", ""}, {"44", Value, "", ""}, {"P0001", Value, "", ""},
}

// Postgres finds the row of a server's answer. Ended says that it has ended the session
// with it, as FATAL and PANIC do.
func Postgres(state string, ended bool) Fault {
	out := Fault{Kind: Unknown, Code: "SQLSTATE " + state}
	for _, r := range postgresRows {
		if len(state) >= len(r.prefix) && state[:len(r.prefix)] == r.prefix {
			out = Fault{r.kind, "SQLSTATE " + state, r.what, r.do}
			break
		}
	}
	// With those that have words of their own the session had not begun, but for a server
	// that ends because its disk is full.
	if ended && out.Kind.Answered() && (out.What == "" || state == "53100") {
		out.Kind = Lost
	}
	return out
}
