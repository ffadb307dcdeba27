package dberror

import (
	"fmt"
	"strings"
)

// sqliteRows is the table for SQLite, by the primary code.
var sqliteRows = map[int]Fault{
	1:  {Kind: Unknown},
	3:  {Kind: Denied, What: "this user may not use the file"},
	4:  {Kind: Passing},
	5:  {Kind: Passing, What: "another process works in the file"},
	6:  {Kind: Passing},
	7:  {Kind: Passing, What: "there is no memory left"},
	8:  {Kind: Passing, What: "the file cannot be written", Do: "see its owner and mode, and whether its disk is mounted read-only"},
	9:  {Kind: Passing},
	10: {Kind: Passing, What: "the disk has failed to read or write", Do: "see the machine's log and the room on the disk"},
	11: {Kind: Denied, What: "the file is damaged", Do: "keep a copy of it, restore a backup into an empty folder and start with that"},
	13: {Kind: Passing, What: "the disk is full", Do: "make room on it"},
	14: {Kind: Passing, What: "the file cannot be opened", Do: "see that it is there and belongs to this user"},
	15: {Kind: Passing},
	17: {Kind: Passing},
	18: {Kind: Value, What: "it is larger than SQLite takes"},
	19: {Kind: Value},
	20: {Kind: Value},
	22: {Kind: Passing, What: "the file has grown larger than its disk allows"},
	23: {Kind: Denied},
	25: {Kind: Value, What: "it is out of range"},
	26: {Kind: Denied, What: "the file is no database", Do: "restore a backup into an empty folder and start with that"},
}

// SQLite finds the row of a result code, extended or not. For "SQL logic error" what it
// says tells more.
func SQLite(code int, said string) Fault {
	f := sqliteRows[code&0xff]
	f.Code = fmt.Sprintf("SQLite code %d", code)
	if code == 2067 || code == 1555 || code == 2579 { // UNIQUE, PRIMARY KEY, ROWID
		f.Kind = Duplicate
	}
	if code&0xff == 1 && (strings.Contains(said, "no such table") || strings.Contains(said, "no such column")) {
		f.Kind, f.What, f.Do = Absent, "a table or column is not there", "see that it is the ledger's file; restore a backup"
	}
	return f
}
