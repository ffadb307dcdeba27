package platform

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The platform's tables.
const (
	records     = "interview_record"
	dialogues   = "interview_dialogues"
	evaluations = "interview_evaluation"
	answers     = "answer_report"
)

// needs lists the columns that are read or written, in the order in which they
// are told. A platform's tables may have more.
var needs = []struct {
	table   string
	columns []string
	written bool
}{
	{records, []string{"id", "user_id", "type", "difficulty", "domain", "company_name", "position_name", "status", "created_at"}, false},
	{dialogues, []string{"id", "user_id", "report_id", "question", "answer", "created_at"}, false},
	{evaluations, []string{"id", "user_id", "report_id", "comment", "score", "dimensions", "deleted", "created_at", "updated_at"}, true},
	{answers, []string{"id", "user_id", "report_id", "records", "deleted", "created_at", "updated_at"}, true},
}

// column is one as the database describes it.
type column struct {
	filled bool // an INSERT may leave it out
	counts bool // the database numbers it
}

// Check reports what the database lacks of the platform's tables, all of it at
// once, and what this user may not do with them. It changes nothing.
func (s *Store) Check(ctx context.Context) error {
	have, err := s.columns(ctx)
	if err != nil {
		return storage("read the schema", err)
	}
	var faults []string
	for _, n := range needs {
		table, there := have[n.table]
		if !there {
			faults = append(faults, "table "+n.table)
			continue
		}
		for _, c := range n.columns {
			if _, ok := table[c]; !ok {
				faults = append(faults, fmt.Sprintf("column %s.%s", n.table, c))
			}
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("platform: the database lacks, or hides from this user: %s; name the platform's own database, whose tables evalq does not make", strings.Join(faults, ", "))
	}
	if err := errors.Join(unwritable(have)...); err != nil {
		return err
	}
	return s.rights(ctx)
}

// rights asks for what writing a result takes, without doing it: the lock of a
// record that is not there, and how an insert and an update would be done.
func (s *Store) rights(ctx context.Context) error {
	try := []string{"SELECT user_id FROM " + records + " WHERE id = 0 FOR UPDATE", "SELECT id FROM " + dialogues + " WHERE id = 0"}
	for _, t := range []struct{ table, columns, values string }{{evaluations, "comment, score, dimensions", "'', 0, '[]'"}, {answers, "records", "'[]'"}} {
		try = append(try,
			"EXPLAIN SELECT id FROM "+t.table+" WHERE id = 0",
			"EXPLAIN INSERT INTO "+t.table+" (user_id, report_id, deleted, "+t.columns+") SELECT 0, 0, 0, "+t.values+" FROM DUAL",
			"EXPLAIN UPDATE "+t.table+" SET updated_at = updated_at WHERE id = 0")
	}
	for _, query := range try {
		rows, err := s.db.QueryContext(ctx, query)
		if err == nil {
			for rows.Next() {
			}
			err = rows.Err()
			rows.Close()
		}
		if err != nil {
			return storage("ask what this user may do", err)
		}
	}
	return nil
}

// unwritable tells which columns keep a row of ours from being inserted.
func unwritable(have map[string]map[string]column) (faults []error) {
	for _, n := range needs {
		if !n.written {
			continue
		}
		if !have[n.table]["id"].counts {
			faults = append(faults, fmt.Errorf("platform: column %s.id has no AUTO_INCREMENT", n.table))
		}
		for name, c := range have[n.table] {
			if !c.filled && !slices.Contains(n.columns, name) {
				faults = append(faults, fmt.Errorf("platform: column %s.%s is NOT NULL and has no default, so no result can be inserted: give it a default", n.table, name))
			}
		}
	}
	return faults
}

func (s *Store) columns(ctx context.Context) (map[string]map[string]column, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT LOWER(table_name), LOWER(column_name), is_nullable, column_default IS NOT NULL, LOWER(extra)
		FROM information_schema.columns WHERE table_schema = DATABASE() AND LOWER(table_name) IN (?, ?, ?, ?)`,
		records, dialogues, evaluations, answers)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]map[string]column{}
	for rows.Next() {
		var table, name, nullable, extra string
		var defaulted bool
		if err := rows.Scan(&table, &name, &nullable, &defaulted, &extra); err != nil {
			return nil, err
		}
		if out[table] == nil {
			out[table] = map[string]column{}
		}
		counts := strings.Contains(extra, "auto_increment")
		generated := strings.Contains(extra, "generated") || strings.Contains(extra, "virtual") || strings.Contains(extra, "stored")
		out[table][name] = column{filled: nullable == "YES" || defaulted || counts || generated, counts: counts}
	}
	return out, rows.Err()
}
