package rubric_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evalq/internal/evaluation"
	"evalq/internal/rubric"
)

var aof = evaluation.Answer{
	DialogID: "q1", Topic: "Redis", Difficulty: 3,
	Question: "Redis 的 AOF 持久化是怎么工作的？",
	KeyPoints: []evaluation.KeyPoint{
		{ID: "p1", Text: "把每条写命令追加到文件末尾", Weight: 2, Aliases: []string{"append only"}},
		{ID: "p2", Text: "刷盘策略可以选择每秒一次", Weight: 1, Aliases: []string{"everysec"}},
		{ID: "p3", Text: "文件太大时在后台重写压缩", Weight: 1, Aliases: []string{"rewrite", "重写"}},
	},
}

var prose = evaluation.Answer{
	DialogID: "q2", Topic: "C++", Difficulty: 3,
	Question:  "What is the role of a header file?",
	Reference: "To store a class interface, including data members and member function prototypes, so that other translation units can compile against it.",
}

func judge(t *testing.T, lang string, a evaluation.Answer, answer string) evaluation.AnswerEvaluation {
	t.Helper()
	a.Answer = answer
	e, err := rubric.New().Judge(t.Context(), evaluation.Input{Language: lang, Answer: a})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func score(t *testing.T, e evaluation.AnswerEvaluation) int {
	t.Helper()
	if e.Score == nil {
		t.Fatal("no score")
	}
	return *e.Score
}

func TestOnlyCompletenessIsAssessed(t *testing.T) {
	t.Parallel()
	e := judge(t, "zh", aof, "把写命令追加到文件末尾，每秒刷盘一次。")
	for _, d := range e.Dimensions {
		if d.Assessed != (d.Key == evaluation.Completeness) {
			t.Errorf("%s: assessed = %v", d.Key, d.Assessed)
		}
		if d.Reason == "" {
			t.Errorf("%s: no reason", d.Key)
		}
	}
}

func TestAnswersWithMorePointsScoreHigher(t *testing.T) {
	t.Parallel()
	all := score(t, judge(t, "zh", aof, "它会把每条写命令追加到文件的末尾，一般配置成 everysec，文件大了以后后台会重写一份。"))
	some := score(t, judge(t, "zh", aof, "它会把每条写命令追加到文件里面。"))
	none := score(t, judge(t, "zh", aof, "我们部署用的是容器，镜像放在内网仓库。"))
	if !(all > some && some > none) {
		t.Errorf("scores %d, %d, %d do not fall", all, some, none)
	}
	if all < 80 || none > 10 {
		t.Errorf("full answer %d, unrelated answer %d", all, none)
	}
}

func TestAnAliasMakesTheWholePoint(t *testing.T) {
	t.Parallel()
	e := judge(t, "zh", aof, "它是 Append-Only 的。")
	if p := e.Points[0]; p.Credit != 1 || p.Status != evaluation.Covered || p.Evidence == nil {
		t.Errorf("point = %+v", p)
	}
}

func TestAnAliasMustBeSaidAsAPhrase(t *testing.T) {
	t.Parallel()
	e := judge(t, "zh", aof, "We append logs, and the build server is for the other team only.")
	if p := e.Points[0]; p.Credit == 1 {
		t.Errorf("the words far apart earned the point: %+v", p)
	}
}

func TestAnAliasOfTheQuestionsWordsProvesLittle(t *testing.T) {
	t.Parallel()
	a := aof
	a.KeyPoints = []evaluation.KeyPoint{{ID: "p1", Text: "写命令会落到磁盘上", Weight: 1, Aliases: []string{"AOF"}}}
	if s := score(t, judge(t, "zh", a, "AOF 我知道一点点，没有用过。")); s > 20 {
		t.Errorf("score = %d", s)
	}
}

func TestEvidenceIsTheAnswersOwnTextAtTheGivenRunes(t *testing.T) {
	t.Parallel()
	answer := "先说结论😀：ＡＯＦ 把写命令追加到文件末尾；另外每秒刷盘一次。"
	e := judge(t, "zh", aof, answer)
	runes, found := []rune(answer), 0
	for _, p := range e.Points {
		if p.Evidence == nil {
			continue
		}
		found++
		if got := string(runes[p.Evidence.Start:p.Evidence.End]); got != p.Evidence.Quote || got == "" {
			t.Errorf("%s: quote %q, text at %d-%d is %q", p.ID, p.Evidence.Quote, p.Evidence.Start, p.Evidence.End, got)
		}
	}
	if found < 2 {
		t.Errorf("only %d points have evidence", found)
	}
}

func TestWidthAndCaseDoNotMatter(t *testing.T) {
	t.Parallel()
	plain := judge(t, "zh", aof, "append only，everysec")
	wide := judge(t, "zh", aof, "ＡＰＰＥＮＤ ＯＮＬＹ，ＥｖｅｒｙＳｅｃ")
	if score(t, plain) != score(t, wide) {
		t.Errorf("%d for plain, %d for full width", *plain.Score, *wide.Score)
	}
}

func TestFormsAndNearSpellingsOfAWordMeet(t *testing.T) {
	t.Parallel()
	want := score(t, judge(t, "en", prose, "It stores the class interface with function prototypes."))
	for _, answer := range []string{
		"It is storing the class interfaces with the prototypes of functions.",
		"It stores the class interfase with function prototipes.",
	} {
		if got := score(t, judge(t, "en", prose, answer)); got < want*3/4 {
			t.Errorf("%q scores %d, the plain form %d", answer, got, want)
		}
	}
}

func TestProseIsScoredOnACurve(t *testing.T) {
	t.Parallel()
	e := judge(t, "en", prose, "It keeps the interface of a class, the data members and the member functions.")
	if s := score(t, e); s < 80 {
		t.Errorf("a good short answer scores %d", s)
	}
	if len(e.Points) == 0 || e.Points[0].ID != "r1" {
		t.Errorf("points = %+v", e.Points)
	}
}

func TestWithoutReferenceThereIsNoScore(t *testing.T) {
	t.Parallel()
	for _, a := range []evaluation.Answer{
		{Question: "Why?"},
		{Question: "Why?", Reference: " … ", KeyPoints: []evaluation.KeyPoint{{ID: "p1", Text: "???", Weight: 1}}},
	} {
		e := judge(t, "en", a, "Because it is so.")
		if e.Score != nil || e.Confidence != 0 || !e.NeedsReview || !e.Has(evaluation.FlagNoReference) || e.Band != "" {
			t.Errorf("evaluation = %+v", e)
		}
	}
}

func TestABlankAnswerScoresZeroForCertain(t *testing.T) {
	t.Parallel()
	e := judge(t, "zh", aof, " \n ")
	if score(t, e) != 0 || e.Confidence != 1 || e.NeedsReview || !e.Has(evaluation.FlagEmpty) {
		t.Errorf("evaluation = %+v", e)
	}
}

func TestLittleRecognisedMeansReviewNotWrong(t *testing.T) {
	t.Parallel()
	e := judge(t, "zh", aof, "我觉得要先做好监控，然后再谈优化。")
	if !e.Has(evaluation.FlagLowCoverage) || !e.NeedsReview || e.Confidence >= 0.4 || e.Has(evaluation.FlagOffTopic) {
		t.Errorf("flags %v, confidence %v, review %v", e.Flags, e.Confidence, e.NeedsReview)
	}
}

func TestListsOfWordsAreFlagged(t *testing.T) {
	t.Parallel()
	shuffled := "members including against prototypes translation interface so class units to store other a that can data compile function and member it"
	for name, tc := range map[string]struct {
		lang   string
		a      evaluation.Answer
		answer string
	}{
		"keywords":         {"en", prose, "class interface data members function prototypes translation units compile"},
		"shuffled":         {"en", prose, shuffled},
		"chinese keywords": {"zh", aof, "写命令 追加 文件末尾 刷盘策略 每秒一次 后台重写 压缩"},
		"repeated":         {"en", prose, strings.Repeat("the class interface and ", 30)},
	} {
		e := judge(t, tc.lang, tc.a, tc.answer)
		if !e.Has(evaluation.FlagWordList) || !e.NeedsReview {
			t.Errorf("%s: flags %v, review %v", name, e.Flags, e.NeedsReview)
		}
	}
}

func TestSentencesAreNotTakenForWordLists(t *testing.T) {
	t.Parallel()
	for _, e := range []evaluation.AnswerEvaluation{
		judge(t, "en", prose, prose.Reference),
		judge(t, "zh", aof, "把每条写命令追加到文件末尾，刷盘策略可以选择每秒一次，文件太大时会在后台重写压缩。"),
	} {
		if e.Has(evaluation.FlagWordList) {
			t.Errorf("flags = %v", e.Flags)
		}
	}
}

func TestRepeatingTheQuestionEarnsNothing(t *testing.T) {
	t.Parallel()
	e := judge(t, "en", prose, "The role of a header file, what is the role of a header file?")
	if score(t, e) != 0 || !e.Has(evaluation.FlagQuestionEcho) || !e.NeedsReview {
		t.Errorf("score %d, flags %v", *e.Score, e.Flags)
	}
}

func TestAnswersInAnotherLanguageAreFlagged(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		lang, answer string
		want         bool
	}{
		{"zh", "It appends every write command to the end of a file and syncs it once a second.", true},
		{"zh", "AOF 就是 append only file，配置 appendfsync everysec，用 BGREWRITEAOF 重写。", false},
		{"en", "它把每条写命令追加到文件末尾，每秒刷盘一次。", true},
		{"en", "It appends each write command (写命令) to a file.", false},
	} {
		if got := judge(t, tc.lang, aof, tc.answer).Has(evaluation.FlagLanguageMismatch); got != tc.want {
			t.Errorf("%s %q: flagged = %v", tc.lang, tc.answer, got)
		}
	}
}

func TestListsAreInTheLanguageOfTheInterviewAndAtMostThree(t *testing.T) {
	t.Parallel()
	a := aof
	for _, id := range []string{"p4", "p5"} {
		a.KeyPoints = append(a.KeyPoints, evaluation.KeyPoint{ID: id, Text: "混合持久化" + id, Weight: 9})
	}
	e := judge(t, "zh", a, "不太清楚。")
	if len(e.Weaknesses) != 3 || !strings.HasPrefix(e.Weaknesses[0], "没有讲到：混合持久化p4") {
		t.Errorf("weaknesses = %q", e.Weaknesses)
	}
	e = judge(t, "en", prose, "No idea.")
	if len(e.Weaknesses) != 1 || !strings.HasPrefix(e.Weaknesses[0], "Not mentioned: ") {
		t.Errorf("weaknesses = %q", e.Weaknesses)
	}
}

func TestTheSameInputGivesTheSameEvaluation(t *testing.T) {
	t.Parallel()
	answer := "AOF 追加写命令，interfase prototypes members，每秒刷盘，后台压缩"
	first := judge(t, "zh", aof, answer)
	for range 20 {
		if diff := cmp.Diff(first, judge(t, "zh", aof, answer)); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestACancelledContextEndsTheJudgement(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := rubric.New().Judge(ctx, evaluation.Input{Language: "zh", Answer: aof}); err == nil {
		t.Error("no error")
	}
}

// Ten times the text may take some ten times as long; a hundred times would be
// quadratic. The line is half-way between.
func TestTimeGrowsWithTheLengthOfTheAnswerNotItsSquare(t *testing.T) {
	t.Parallel()
	for name, unit := range map[string]string{
		"chinese": "把写命令追加到文件末尾每秒刷盘后台重写",
		"same":    "the interface prototypes ",
		"one run": "interface",
	} {
		a := prose
		a.KeyPoints = append([]evaluation.KeyPoint{{ID: "e", Text: "class interface prototypes", Weight: 1, Aliases: []string{"interface the prototypes interface absent"}}}, aof.KeyPoints...)
		took := func(size int) time.Duration {
			best := time.Hour
			for range 2 {
				began := time.Now()
				judge(t, "zh", a, strings.Repeat(unit, size/len(unit)))
				best = min(best, time.Since(began))
			}
			return best
		}
		small, large := took(20<<10), took(200<<10)
		if large > 50*small {
			t.Errorf("%s: 20 KB took %v, 200 KB %v", name, small, large)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	a := aof
	a.Answer = "它会把每条写命令追加到文件的末尾，一般配置成 everysec，文件大了以后后台会重写一份。"
	in := evaluation.Input{Language: "zh", Answer: a}
	j := rubric.New()
	for b.Loop() {
		if _, err := j.Judge(context.Background(), in); err != nil {
			b.Fatal(err)
		}
	}
}
