package platform

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"evalq/internal/evaluation"
	"evalq/tasks"
)

// Interview reads an interview: the record, and its owner's dialogues in the
// order of their ids, which become the dialog ids. UserID 0 reads it whoever owns
// it. The errors have the classes interview_missing (which is also
// tasks.ErrNotFound), wrong_user, context_too_long for one beyond the bounds of
// an interview, and storage.
//
// A record without dialogues is an interview without answers, unless it is
// pending and young (Config.PendingFor): then its dialogues may still come, and
// it is missing for now. Rows are taken as they are, also those whose answer is
// only what a button sent.
func (s *Store) Interview(ctx context.Context, userID, reportID int64) (evaluation.Interview, error) {
	var none evaluation.Interview
	r, err := s.record(ctx, reportID)
	if errors.Is(err, sql.ErrNoRows) {
		return none, missing(reportID, tasks.ErrNotFound)
	}
	if err != nil {
		return none, storage(fmt.Sprintf("read interview %d", reportID), err)
	}
	if userID != 0 && r.user != userID {
		return none, wrongUser(reportID)
	}
	in := evaluation.Interview{UserID: r.user, ReportID: reportID, Title: r.title(), Position: fit(r.position.String)}
	if in.Answers, err = s.dialogues(ctx, r, reportID); err != nil {
		return none, err
	}
	if len(in.Answers) == 0 && r.underWay(s.cfg.Now(), s.cfg.PendingFor) {
		return none, missing(reportID, fmt.Errorf("it has no dialogue yet: %w", tasks.ErrNotFound))
	}
	var questions strings.Builder
	for _, a := range in.Answers {
		questions.WriteString(a.Question)
	}
	in.Language = evaluation.LanguageOf(questions.String())
	if n := len(in.Canonical()); n > evaluation.MaxInterview {
		return none, tooLong(reportID, fmt.Sprintf("%d bytes, at most %d are taken", n, evaluation.MaxInterview))
	}
	return in, nil
}

// Owner is whose an interview is. Without a record it is interview_missing.
func (s *Store) Owner(ctx context.Context, reportID int64) (int64, error) {
	r, err := s.record(ctx, reportID)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, missing(reportID, tasks.ErrNotFound)
	}
	if err != nil {
		return 0, storage(fmt.Sprintf("read interview %d", reportID), err)
	}
	return r.user, nil
}

// Answered reports whether a dialogue of an interview has an answer that is more
// than white space. It takes an interview of any size.
func (s *Store) Answered(ctx context.Context, userID, reportID int64) (bool, error) {
	fail := func(err error) (bool, error) {
		return false, storage(fmt.Sprintf("look for an answer of interview %d", reportID), err)
	}
	rows, err := s.db.QueryContext(ctx, "SELECT answer FROM interview_dialogues WHERE user_id = ? AND report_id = ? AND answer REGEXP '[^[:space:]]'", userID, reportID)
	if err != nil {
		return fail(err)
	}
	defer rows.Close()
	for rows.Next() {
		var answer string
		if err := rows.Scan(&answer); err != nil {
			return fail(err)
		}
		// The server's white space is less than Go's: it may lack U+3000.
		if strings.TrimSpace(legible(answer)) != "" {
			return true, nil
		}
	}
	if err := rows.Err(); err != nil {
		return fail(err)
	}
	return false, nil
}

func missing(report int64, err error) error {
	return tasks.NewError(tasks.ClassInterviewMissing, fmt.Errorf("platform: interview %d: %w", report, err))
}

func wrongUser(report int64) error {
	return tasks.NewError(tasks.ClassWrongUser, fmt.Errorf("platform: interview %d belongs to another user", report))
}

func tooLong(report int64, why string) error {
	return tasks.NewError(tasks.ClassContextTooLong, fmt.Errorf("platform: interview %d: %s", report, why))
}

// record is a row of interview_record.
type record struct {
	user                                                int64
	kind, difficulty, domain, company, position, status sql.NullString
	created                                             sql.NullTime
}

func (s *Store) record(ctx context.Context, report int64) (r record, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT user_id, type, difficulty, domain, company_name, position_name, status, created_at FROM interview_record WHERE id = ?", report).
		Scan(&r.user, &r.kind, &r.difficulty, &r.domain, &r.company, &r.position, &r.status, &r.created)
	return r, err
}

// title names the interview, which has none of its own, by company, position and
// type.
func (r record) title() string {
	var parts []string
	for _, p := range []sql.NullString{r.company, r.position, r.kind} {
		if t := fit(p.String); t != "" && !slices.Contains(parts, t) {
			parts = append(parts, t)
		}
	}
	return fit(strings.Join(parts, " · "))
}

// underWay reports whether dialogues may still come: the platform stores them when
// the interview ends, and does not always mark the end.
func (r record) underWay(now time.Time, within time.Duration) bool {
	return !strings.EqualFold(strings.TrimSpace(r.status.String), "completed") && r.created.Valid && now.Sub(r.created.Time) < within
}

// hardness reads the word that the platform has for the difficulty of a whole
// interview.
func (r record) hardness() int {
	switch strings.ToLower(strings.TrimSpace(r.difficulty.String)) {
	case "easy", "junior", "简单", "初级":
		return 2
	case "hard", "senior", "困难", "高级":
		return 4
	}
	return 3
}

// noQuestion stands where a row has an answer alone.
const noQuestion = "-"

func (s *Store) dialogues(ctx context.Context, r record, report int64) ([]evaluation.Answer, error) {
	fail := func(err error) ([]evaluation.Answer, error) {
		return nil, storage(fmt.Sprintf("read the dialogues of interview %d", report), err)
	}
	rows, err := s.db.QueryContext(ctx, "SELECT id, question, answer FROM interview_dialogues WHERE user_id = ? AND report_id = ? ORDER BY id LIMIT ?",
		r.user, report, evaluation.MaxAnswers+1)
	if err != nil {
		return fail(err)
	}
	defer rows.Close()
	out := []evaluation.Answer{}
	for rows.Next() {
		var id uint64
		var question, answer sql.NullString
		if err := rows.Scan(&id, &question, &answer); err != nil {
			return fail(err)
		}
		a := evaluation.Answer{
			DialogID: strconv.FormatUint(id, 10), Topic: fit(r.domain.String), Difficulty: r.hardness(),
			Question: strings.TrimSpace(legible(question.String)), Answer: legible(answer.String), KeyPoints: []evaluation.KeyPoint{},
		}
		if a.Question == "" {
			a.Question = noQuestion
		}
		if len(a.Question) > evaluation.MaxText || len(a.Answer) > evaluation.MaxText {
			return nil, tooLong(report, fmt.Sprintf("a text of dialogue %d is longer than %d bytes", id, evaluation.MaxText))
		}
		out = append(out, a)
	}
	if err := rows.Err(); err != nil {
		return fail(err)
	}
	if len(out) > evaluation.MaxAnswers {
		return nil, tooLong(report, fmt.Sprintf("more than %d dialogues", evaluation.MaxAnswers))
	}
	return out, nil
}

// legible drops what no ledger and no JSON has: NUL and broken UTF-8.
func legible(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
}

// fit is a name as an interview has it.
func fit(s string) string { return clip(strings.TrimSpace(legible(s)), evaluation.MaxName) }

// clip cuts s to at most limit bytes, between two characters.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "")
}
