// Package platformtest makes the interview platform's tables in a database, and
// fills them as the platform does. Only _test files import it.
package platformtest

import (
	"context"
	"database/sql"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver

	"evalq/internal/mysqlurl"
)

// The platform's tables as its program makes them by itself, and as a script of
// its deployment does, with columns that the program does not know.
var (
	ByProgram = []string{
		`CREATE TABLE interview_record (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, user_id BIGINT UNSIGNED NOT NULL, type VARCHAR(50), difficulty VARCHAR(50),
			domain VARCHAR(100), company_name VARCHAR(100), position_name VARCHAR(100), status VARCHAR(20) DEFAULT 'pending', duration BIGINT,
			created_at DATETIME(3), updated_at DATETIME(3))`,
		`CREATE TABLE interview_dialogues (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, user_id BIGINT UNSIGNED NOT NULL, report_id BIGINT UNSIGNED NOT NULL,
			question TEXT, answer TEXT, created_at DATETIME(3))`,
		`CREATE TABLE interview_evaluation (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, user_id BIGINT UNSIGNED NOT NULL, report_id BIGINT UNSIGNED NOT NULL,
			comment TEXT, score DECIMAL(5,2), dimensions JSON, deleted TINYINT DEFAULT 0, created_at DATETIME(3), updated_at DATETIME(3), KEY (user_id), KEY (report_id), KEY (deleted))`,
		`CREATE TABLE answer_report (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, user_id BIGINT UNSIGNED NOT NULL, report_id BIGINT UNSIGNED NOT NULL,
			records JSON, deleted TINYINT DEFAULT 0, created_at DATETIME(3), updated_at DATETIME(3), KEY (user_id), KEY (report_id), KEY (deleted))`,
	}
	ByScript = []string{
		`CREATE TABLE interview_record (id BIGINT NOT NULL AUTO_INCREMENT, user_id BIGINT NOT NULL, type VARCHAR(32) NOT NULL DEFAULT '', difficulty VARCHAR(32) NOT NULL DEFAULT '',
			domain VARCHAR(64), company_name VARCHAR(128), position_name VARCHAR(128), status ENUM('pending','completed') NOT NULL DEFAULT 'pending', duration INT NOT NULL DEFAULT 0,
			created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, PRIMARY KEY (id))`,
		`CREATE TABLE interview_dialogues (id BIGINT NOT NULL AUTO_INCREMENT, user_id BIGINT NOT NULL, report_id BIGINT NOT NULL, topic_id BIGINT NOT NULL, parent_id BIGINT NOT NULL,
			display_order INT NOT NULL DEFAULT 0, question TEXT NOT NULL, answer TEXT, created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (id))`,
		`CREATE TABLE interview_evaluation (id BIGINT NOT NULL AUTO_INCREMENT, user_id BIGINT NOT NULL, report_id BIGINT NOT NULL, comment TEXT NOT NULL, score DECIMAL(5,2) NOT NULL DEFAULT 0,
			dimensions JSON NOT NULL, deleted TINYINT(1) NOT NULL DEFAULT 0, created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (id))`,
		`CREATE TABLE answer_report (id BIGINT NOT NULL AUTO_INCREMENT, user_id BIGINT NOT NULL, report_id BIGINT NOT NULL, records JSON NOT NULL,
			deleted TINYINT(1) NOT NULL DEFAULT 0, created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (id))`,
	}
)

// Variants are the two forms of the tables, by their names.
var Variants = map[string][]string{"the program's tables": ByProgram, "the script's tables": ByScript}

// Platform is a platform's database.
type Platform struct {
	URL string
	DB  *sql.DB
	tb  testing.TB
}

// New makes the tables in the database of url.
func New(tb testing.TB, url string, tables []string) *Platform {
	tb.Helper()
	conf, err := mysqlurl.Parse(url)
	if err != nil {
		tb.Fatal(err)
	}
	db, err := sql.Open("mysql", conf.FormatDSN())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	p := &Platform{URL: url, DB: db, tb: tb}
	for _, s := range tables {
		p.Exec(s)
	}
	return p
}

// Exec runs a statement.
func (p *Platform) Exec(query string, args ...any) {
	p.tb.Helper()
	if _, err := p.DB.ExecContext(context.Background(), query, args...); err != nil {
		p.tb.Fatalf("%s: %v", query, err)
	}
}

// Text is the one value of a query.
func (p *Platform) Text(query string, args ...any) (out string) {
	p.tb.Helper()
	if err := p.DB.QueryRowContext(context.Background(), query, args...).Scan(&out); err != nil {
		p.tb.Fatalf("%s: %v", query, err)
	}
	return out
}

// Record inserts an interview.
func (p *Platform) Record(id, user int64, status string, created time.Time) {
	p.tb.Helper()
	p.Exec(`INSERT INTO interview_record (id, user_id, type, difficulty, domain, company_name, position_name, status, created_at) VALUES (?, ?, 'technical', 'hard', 'Go', 'Acme', 'Backend', ?, ?)`,
		id, user, status, created.Format("2006-01-02 15:04:05"))
}

// Say inserts a dialogue. Nil is NULL.
func (p *Platform) Say(user, report int64, question, answer any) {
	p.tb.Helper()
	query := `INSERT INTO interview_dialogues (user_id, report_id, question, answer`
	if p.Text(`SELECT count(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'interview_dialogues' AND column_name = 'topic_id'`) == "1" {
		query += `, topic_id, parent_id) VALUES (?, ?, ?, ?, 1, 0)`
	} else {
		query += `) VALUES (?, ?, ?, ?)`
	}
	p.Exec(query, user, report, question, answer)
}
