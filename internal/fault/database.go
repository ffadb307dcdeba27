package fault

import (
	"database/sql"
	"database/sql/driver"
	"reflect"
	"strings"

	"evalq/tasks"
)

// fromDatabase reads errors of database/sql, of GORM, which hands them on, and of
// the drivers of MySQL, PostgreSQL and SQLite. What a database refuses for good,
// such as a value that does not fit its column, has no class: the same save would
// fail for as long as transient errors are put up with, and be paid for each time.
func fromDatabase(err error) tasks.Class {
	switch err {
	case driver.ErrBadConn, sql.ErrConnDone:
		return tasks.ClassStorage
	}
	if s, ok := err.(interface{ SQLState() string }); ok { // pgx, lib/pq
		return ofState(s.SQLState())
	}
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Name() == "MySQLError":
		return ofMySQL(whole(field(reflect.ValueOf(err), "Number")))
	case t.Name() == "ConnectError" && strings.HasSuffix(t.PkgPath(), "pgconn"), t.Name() == "ParseConfigError":
		return tasks.ClassStorage
	case strings.Contains(t.PkgPath(), "sqlite"):
		return ofSQLite(ofVagueMethod(err) & 0xff)
	}
	if text := err.Error(); len(unwrap(err)) == 0 && (text == "invalid connection" || text == "sql: database is closed" ||
		text == "busy buffer" || text == "conn closed" || text == "redis: client is closed" || text == "redis: connection pool timeout") {
		return tasks.ClassStorage
	}
	return ofRedis(err)
}

// ofMySQL knows the numbers of MySQL and MariaDB that pass by themselves or when an
// operator has put the server right.
func ofMySQL(n int) tasks.Class {
	switch n {
	case 1015, 1021, 1030, 1040, 1042, 1043, 1044, 1045, 1047, 1053, 1077, 1078, 1079, 1080, 1081, 1114, 1129, 1130, 1152, 1158, 1159,
		1160, 1161, 1180, 1184, 1203, 1205, 1206, 1213, 1226, 1290, 1317, 1637, 1712, 1792, 1836, 1871, 1927, 1969, 2002, 2003, 2006, 2013, 2055,
		3024, 3098, 3100, 3101, 3167, 3168, 3169, 3572, 4031, 1020, 1028, 1041, 1037, 1135, 1461:
		return tasks.ClassStorage
	}
	return ""
}

// ofState knows the classes of SQLSTATE that PostgreSQL names.
func ofState(state string) tasks.Class {
	if len(state) != 5 {
		return ""
	}
	switch state[:2] {
	case "08", "28", "40", "53", "57", "58", "55":
		return tasks.ClassStorage
	}
	if state == "25006" { // read only
		return tasks.ClassStorage
	}
	return ""
}

// ofSQLite: busy, locked, no memory, read only, interrupted, I/O, full, cannot open.
func ofSQLite(code int) tasks.Class {
	switch code {
	case 5, 6, 7, 8, 9, 10, 13, 14:
		return tasks.ClassStorage
	}
	return ""
}

func ofRedis(err error) tasks.Class {
	if _, ok := err.(interface{ RedisError() }); !ok {
		return ""
	}
	word, _, _ := strings.Cut(err.Error(), " ")
	switch word {
	case "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "OOM", "MISCONF", "NOREPLICAS", "NOAUTH", "WRONGPASS", "UNBLOCKED":
		return tasks.ClassStorage
	}
	return ""
}
