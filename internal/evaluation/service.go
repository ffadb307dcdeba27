package evaluation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"evalq/tasks"
)

// Config sets up a Service.
type Config struct {
	// Now dates the results. Defaults to time.Now.
	Now func() time.Time
}

// Service evaluates interviews. Its methods may be called from several
// goroutines as far as its Judge, Store and Steps may.
type Service struct {
	store Store
	judge Judge
	steps Steps
	now   func() time.Time
}

// NewService puts a service together. A nil cfg means the defaults.
func NewService(store Store, judge Judge, steps Steps, cfg *Config) (*Service, error) {
	switch {
	case store == nil:
		return nil, errors.New("evaluation: store: missing")
	case judge == nil:
		return nil, errors.New("evaluation: judge: missing")
	case steps == nil:
		return nil, errors.New("evaluation: steps: missing")
	}
	s := &Service{store: store, judge: judge, steps: steps, now: time.Now}
	if cfg != nil && cfg.Now != nil {
		s.now = cfg.Now
	}
	return s, nil
}

// GenerateRecordEvaluation makes the comprehensive report of an interview. It
// blocks while the judge works. An interview in which nothing was answered is
// tasks.Skip("empty"); one in which nothing could be scored has the class
// not_assessable and its error names the questions that lack key points. When
// only some could be scored, the report says so in Limits.
func (s *Service) GenerateRecordEvaluation(ctx context.Context, userID, reportID int64) (*Report, error) {
	in, evals, err := s.evaluate(ctx, userID, reportID)
	if err != nil {
		return nil, wrap("report", reportID, err)
	}
	r := aggregate(in, evals)
	r.Audit.EvaluatedAt = s.date()
	return r, nil
}

// GenerateAnswerRecordEvaluation evaluates each answer of an interview. Errors
// are as those of GenerateRecordEvaluation, with which it shares the evaluation
// of each answer.
func (s *Service) GenerateAnswerRecordEvaluation(ctx context.Context, userID, reportID int64) (*TopicEvaluation, error) {
	in, evals, err := s.evaluate(ctx, userID, reportID)
	if err != nil {
		return nil, wrap("answers", reportID, err)
	}
	t := collect(in, evals)
	t.Audit.EvaluatedAt = s.date()
	return t, nil
}

func wrap(what string, reportID int64, err error) error {
	if _, skip := tasks.SkipReason(err); skip {
		return err
	}
	return fmt.Errorf("evaluation: %s of %d: %w", what, reportID, err)
}

func (s *Service) evaluate(ctx context.Context, userID, reportID int64) (Interview, []AnswerEvaluation, error) {
	in, err := s.load(ctx, userID, reportID)
	if err != nil {
		return in, nil, err
	}
	if !in.Answered() {
		return in, nil, tasks.Skip(SkippedEmpty)
	}
	total := len(in.Answers)
	if err := s.steps.Progress(ctx, 0, 0, total); err != nil {
		return in, nil, err
	}
	evals := make([]AnswerEvaluation, 0, total)
	kept := 0
	var refusal error
	for i, a := range in.Answers {
		if err := ctx.Err(); err != nil {
			return in, nil, err
		}
		e, wasKept, err := s.answer(ctx, Input{Language: in.Language, Answer: a})
		if refused(err) {
			refusal = fmt.Errorf("answer %q: %w", a.DialogID, err)
			e = s.notEvaluated(Input{Language: in.Language, Answer: a})
		} else if err != nil {
			return in, nil, fmt.Errorf("answer %q: %w", a.DialogID, err)
		}
		if wasKept {
			kept++
		}
		evals = append(evals, e)
		if err := s.steps.Progress(ctx, i+1, kept, total); err != nil {
			return in, nil, err
		}
	}
	return in, evals, assessable(in, evals, refusal)
}

func (s *Service) load(ctx context.Context, userID, reportID int64) (Interview, error) {
	if userID < 1 || reportID < 1 {
		return Interview{}, tasks.NewError(tasks.ClassInvalidPayload, errors.New("user id and report id must be 1 or more"))
	}
	in, err := s.store.Interview(ctx, userID, reportID)
	if err != nil {
		return in, err
	}
	// The store has checked this; a mistake here would show one person's
	// interview to another.
	if in.UserID != userID || in.ReportID != reportID {
		return in, tasks.NewError(tasks.ClassWrongUser, errors.New("the interview belongs to another user or report"))
	}
	return in, nil
}

// refused reports whether the judge cannot take this answer, now or later,
// while it may well take the others.
func refused(err error) bool {
	switch tasks.ClassOf(err) {
	case tasks.ClassContentFiltered, tasks.ClassContextTooLong, tasks.ClassNotAssessable:
		return true
	}
	return false
}

// answer evaluates one answer, or finds what was stored. A blank one is never
// shown to a judge: it would cost and could only invent.
func (s *Service) answer(ctx context.Context, in Input) (e AnswerEvaluation, kept bool, err error) {
	if in.Answer.Blank() {
		e = Unanswered(s.judge.Identity(), in)
		e.Audit.EvaluatedAt = s.date()
		return e, false, nil
	}
	out, kept, err := s.steps.Once(ctx, s.key(in), func(ctx context.Context) (json.RawMessage, error) {
		e, err := s.judgement(ctx, in)
		if err != nil {
			return nil, err
		}
		return json.Marshal(e)
	})
	if err != nil {
		return e, false, err
	}
	if err := json.Unmarshal(out, &e); err != nil {
		return e, false, tasks.NewError(tasks.ClassInternal, fmt.Errorf("read stored evaluation: %w", err))
	}
	if len(e.Dimensions) != len(dimensionWeights) {
		return e, false, tasks.NewError(tasks.ClassInternal, errors.New("read stored evaluation: not of this form"))
	}
	return e, kept, nil
}

// key names the evaluation of one input by one judge. It does not depend on the
// kind of job that asks.
func (s *Service) key(in Input) string {
	id := s.judge.Identity()
	return "answer." + hash([]string{
		AnswerSchema, in.Answer.DialogID, in.Hash(),
		id.Evaluator, id.Version, id.Provider, id.Model, id.PromptVersion,
	})
}

// judgement asks the judge and lets it decide nothing that is not its to
// decide: whose answer it was, what it scores, whether a quote is real.
func (s *Service) judgement(ctx context.Context, in Input) (AnswerEvaluation, error) {
	began := s.now()
	e, err := s.judge.Judge(ctx, in)
	if err != nil {
		return e, err
	}
	blank := Begin(s.judge.Identity(), in)
	e.Schema, e.DialogID, e.Topic, e.Difficulty, e.Language = blank.Schema, blank.DialogID, blank.Topic, blank.Difficulty, blank.Language
	e.Audit.InputSHA256 = blank.Audit.InputSHA256
	e.Audit.LatencyMS = max(0, s.now().Sub(began).Milliseconds())
	e.Audit.EvaluatedAt = s.date()
	for i := range e.Points {
		verify(&e.Points[i], in.Answer.Answer)
	}
	Grade(&e)
	return e, nil
}

// verify takes back the credit of a point whose evidence is not in the answer.
func verify(p *Point, answer string) {
	if p.Evidence != nil && (p.Evidence.Quote == "" || !strings.Contains(answer, p.Evidence.Quote)) {
		p.Evidence = nil
	}
	if p.Evidence == nil && p.Status != Contradicted {
		p.Credit, p.Status = 0, Missing
	}
}

func (s *Service) notEvaluated(in Input) AnswerEvaluation {
	e := Begin(s.judge.Identity(), in)
	e.Flags = []Flag{FlagNotEvaluated}
	e.NeedsReview = true
	e.Audit.EvaluatedAt = s.date()
	Grade(&e)
	return e
}

// assessable refuses an interview of which no real answer has a score: a mean
// over the unanswered questions alone would be 0 and wrong.
func assessable(in Interview, evals []AnswerEvaluation, refusal error) error {
	var bare []string
	for i, e := range evals {
		if e.Has(FlagEmpty) {
			continue
		}
		if e.Score != nil {
			return nil
		}
		if !in.Answers[i].Measurable() {
			bare = append(bare, e.DialogID)
		}
	}
	if refusal != nil {
		return refusal
	}
	if len(bare) == 0 {
		return tasks.NewError(tasks.ClassNotAssessable, errors.New("the judge could score none of the answers"))
	}
	return tasks.NewError(tasks.ClassNotAssessable,
		fmt.Errorf("no reference and no key points for dialog ids %s", englishWords.join(bare)))
}

// date is in the resolution in which the ledger keeps time.
func (s *Service) date() time.Time { return s.now().UTC().Truncate(time.Millisecond) }
