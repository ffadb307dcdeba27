package dberror

import (
	"fmt"
	"slices"
	"strings"
)

// row is what codes of one meaning have in common.
type row struct {
	kind     Kind
	what, do string
	numbers  []uint16
}

const (
	raisePacket = "raise max_allowed_packet on the server, in my.cnf too so that it stays, to 64M"
	findPrimary = "name the primary in the URL, or make this server one: SET GLOBAL read_only = 0"
	rightsURL   = "see the user and the password in the URL, and on the server the user's host"
	makeRights  = "GRANT ALL PRIVILEGES ON that database to the user in the URL"
)

// mysqlRows is the table for MySQL and MariaDB. A number that is in no row is Unknown.
var mysqlRows = []row{
	{InTheWay, "", "", []uint16{
		1020, // the row changed since it was read (MariaDB's innodb_snapshot_isolation)
		1213, 1614, 3101,
	}},
	{Duplicate, "", "", []uint16{1062, 1586, 1022}},
	// A lock that took too long, and MySQL's word for one that NOWAIT met.
	{Locked, "", "", []uint16{1205, 3572}},

	{Lost, "", "", []uint16{
		1053, 1077, 1078, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 2006, 2013, 2055, 3169, 4031,
		1043, 1081, 1156, 1157, // protocol
	}},
	{Elsewhere, "the server is read-only", findPrimary, []uint16{1290, 1792, 1836, 1874}},
	{Elsewhere, "the server is no working member of its cluster", "see wsrep_local_state_comment, or the state of group replication, on it; evalq connects anew until it finds a member that works", []uint16{1047, 3100}},
	{Elsewhere, "the server is offline", "SET GLOBAL offline_mode = 0, or name another one in the URL", []uint16{3032}},
	{Elsewhere, "the server cannot be reached from the proxy", "", []uint16{2002, 2003}},

	{Passing, "the server's disk is full", "make room on it", []uint16{1021, 1114}},
	{Passing, "the server has no connection left", "raise max_connections, or see who holds them: SHOW PROCESSLIST; a process of evalq takes up to 15", []uint16{1040}},
	{Passing, "this user has no connection left, or has used up what the server allows it", "raise max_user_connections or the user's limits", []uint16{1203, 1226}},
	{Passing, "", "", []uint16{
		1004, 1005, 1006, 1015, 1016, 1023, 1024, 1026, 1028, 1030, 1037, 1038, 1041, 1042, 1135, 1180, 1181, 1206, 1223, 1296, 1297,
		1317, 1461, 1637, 1712, 1871, 1969, 3024, 3098, 3167, 3168,
	}},

	{Denied, "the server does not let this user in", rightsURL, []uint16{1045, 1130, 1251, 1698, 1820, 1862, 3118, 3955}},
	{Denied, "the server has shut this host out after broken connections", "on the server: FLUSH HOSTS", []uint16{1129}},
	{Denied, "the server takes connections with TLS only", "add tls=true to the URL", []uint16{3159}},
	{Denied, "this user lacks a right", makeRights, []uint16{1044, 1142, 1143, 1227, 1370}},
	{Denied, "the server's binary log does not take writes at READ COMMITTED", "SET GLOBAL binlog_format = 'ROW', and the same in my.cnf so that it stays", []uint16{1598, 1665}},
	{Denied, "the server is too old", "use MySQL 8.0, MariaDB 10.6 or newer", []uint16{1115, 1193, 1235, 1273, 1286}},
	{Denied, "a table of the server is damaged", "see the server's log; CHECK TABLE, or restore a backup", []uint16{1034, 1035, 1194, 1195, 1877}},
	{Denied, "", "", []uint16{1064, 1133, 1148, 1149, 1785, 1881}},
	{Absent, "the database is not there", "create it: CREATE DATABASE, with the name in the URL", []uint16{1046, 1049}},
	{Absent, "a table or column is not there", "see that it is the ledger's database; `evalq doctor` looks at the schema", []uint16{1054, 1051, 1146, 1932}},
	{Outside, "", "", []uint16{1305}},

	{Value, "it is larger than the server's max_allowed_packet", raisePacket, []uint16{1153, 1162, 1301}},
	{Value, "it is larger than the server's max_binlog_cache_size", "raise max_binlog_cache_size on the server", []uint16{1197, 1705}},
	{Value, "it is larger than a row may be", "", []uint16{1118, 1071, 1074, 1406, 3886}},
	{Value, "it has characters that the character set of its column does not have", "", []uint16{1300, 1366, 3988}},
	{Value, "it is out of range", "", []uint16{1264, 1690, 1441}},
	{Value, "its JSON is not valid or too deep", "", []uint16{3140, 3141, 3143, 3157, 4037, 4038, 4040}},
	{Value, "the statement is too complex", "", []uint16{1119, 1390, 1436, 1437}},
	{Value, "", "", []uint16{
		1048, 1216, 1217, 1265, 1292, 1364, 1365, 1367, 1407, 1411, 1416, 1451, 1452, 1525, 1557, 1644, 3819, 4025,
	}},
}

// MySQL finds the row of a server's answer. Some numbers stand for several things, and
// then what the server says tells.
func MySQL(number uint16, said string) Fault {
	code := fmt.Sprintf("error %d", number)
	switch {
	// A long parameter of a prepared statement is refused under no number of its own.
	case number == 1105 && strings.Contains(said, "max_allowed_packet"):
		number = 1153
	// Galera refuses a transaction above wsrep_max_ws_size when it commits.
	case number == 1180 && (strings.Contains(said, "error 90 ") || strings.Contains(said, "too long")):
		return Fault{Value, code, "it is larger than the cluster's wsrep_max_ws_size", "raise wsrep_max_ws_size on all members"}
	case number == 1030 && strings.Contains(said, "error 28"):
		number = 1021
	// The option that stands in the way is another one than read_only, such as
	// skip-grant-tables.
	case number == 1290 && said != "" && !strings.Contains(strings.ReplaceAll(said, "_", "-"), "read-only"):
		return Fault{Denied, code, "an option of the server is in the way", ""}
	}
	for _, r := range mysqlRows {
		if slices.Contains(r.numbers, number) {
			return Fault{r.kind, code, r.what, r.do}
		}
	}
	return Fault{Kind: Unknown, Code: code}
}

// TooLarge is the row of a value that the driver does not send, because the server has
// said how much it takes.
func TooLarge() Fault {
	f := MySQL(1153, "")
	f.Code = "max_allowed_packet"
	return f
}
