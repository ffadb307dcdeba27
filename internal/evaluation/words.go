package evaluation

import (
	"fmt"
	"strings"
)

// words are the sentences of a result in one language.
type words struct {
	chinese    bool
	dimensions map[string]string
	bands      map[Band]string
	unanswered string
	revise     string // takes a topic
	advisory   string
	noTopic    string
	changed    string
	labels     [3]string // of strengths, weaknesses, suggestions
}

var chineseWords = words{
	chinese:    true,
	dimensions: map[string]string{Correctness: "回答正确性", Completeness: "要点完整性", Depth: "理解深度", Clarity: "表达清晰度"},
	bands:      map[Band]string{BandNone: "几乎没有答到", BandWeak: "较弱", BandPartial: "部分掌握", BandGood: "良好", BandStrong: "优秀"},
	unanswered: "没有作答",
	revise:     "复习“%s”，先把基本概念讲清楚",
	advisory:   "结果仅供参考，不构成录用与否的结论",
	noTopic:    "未分类",
	changed:    "回答在评估之后有过改动",
	labels:     [3]string{"优势：", "不足：", "建议："},
}

var englishWords = words{
	dimensions: map[string]string{Correctness: "Correctness", Completeness: "Completeness", Depth: "Depth", Clarity: "Clarity"},
	bands:      map[Band]string{BandNone: "hardly anything", BandWeak: "weak", BandPartial: "partial", BandGood: "good", BandStrong: "strong"},
	unanswered: "Not answered",
	revise:     "Revise %s, starting with its basic ideas",
	advisory:   "The result is advice; it is no verdict on hiring",
	noTopic:    "no topic",
	changed:    "The answer has changed since it was evaluated",
	labels:     [3]string{"Strength: ", "Weakness: ", "Suggestion: "},
}

func wordsOf(lang string) words {
	if lang == Chinese {
		return chineseWords
	}
	return englishWords
}

// join makes a list of at most eight names.
func (w words) join(names []string) string {
	const limit = 8
	sep, more := ", ", " and %d more"
	if w.chinese {
		sep, more = "、", " 等 %d 项"
	}
	if len(names) <= limit {
		return strings.Join(names, sep)
	}
	rest := len(names) - limit
	if w.chinese {
		rest = len(names)
	}
	return strings.Join(names[:limit], sep) + fmt.Sprintf(more, rest)
}

func (w words) topic(t string) string {
	if t == "" {
		return w.noTopic
	}
	return t
}

func (w words) topicStrength(t TopicScore) string {
	if w.chinese {
		s := fmt.Sprintf("%s（%d 分）", w.topic(t.Topic), *t.Score)
		if len(t.Strengths) > 0 {
			s += "：讲到了" + quoted(t.Strengths)
		}
		return s
	}
	s := fmt.Sprintf("%s (%d)", w.topic(t.Topic), *t.Score)
	if len(t.Strengths) > 0 {
		s += ": covered " + strings.Join(t.Strengths, "; ")
	}
	return s
}

func (w words) topicWeakness(t TopicScore) string {
	if w.chinese {
		s := fmt.Sprintf("%s（%d 分）", w.topic(t.Topic), *t.Score)
		if len(t.Gaps) > 0 {
			s += "：没有讲到或讲得不完整的有" + quoted(t.Gaps)
		}
		return s
	}
	s := fmt.Sprintf("%s (%d)", w.topic(t.Topic), *t.Score)
	if len(t.Gaps) > 0 {
		s += ": missing or incomplete: " + strings.Join(t.Gaps, "; ")
	}
	return s
}

func quoted(texts []string) string { return "“" + strings.Join(texts, "”、“") + "”" }

func (w words) evaluated(n, total int) string {
	if w.chinese {
		return fmt.Sprintf("共 %d 题，评估了其中 %d 题", total, n)
	}
	return fmt.Sprintf("Evaluated %d of %d", n, total)
}

func (w words) bare(ids []string) string {
	if w.chinese {
		return "没有参考答案或要点、无法评分的题目：" + w.join(ids)
	}
	return "Without reference or key points, so not scored: " + w.join(ids)
}

func (w words) refused(ids []string) string {
	if w.chinese {
		return "评估器未能评分的题目：" + w.join(ids)
	}
	return "The judge could not score: " + w.join(ids)
}

func (w words) blank(ids []string) string {
	if w.chinese {
		return "未作答、按 0 分计的题目：" + w.join(ids)
	}
	return "Not answered, counted as 0: " + w.join(ids)
}

func (w words) notAssessed(names []string) string {
	if w.chinese {
		return "没有评估的维度：" + w.join(names)
	}
	return "Dimensions not assessed: " + w.join(names)
}

func (w words) unsure(ids []string) string {
	if w.chinese {
		return "把握不大、建议人工复核的题目：" + w.join(ids)
	}
	return "Low confidence, a person should look at: " + w.join(ids)
}

// lines makes one text of a few.
func (w words) lines(texts []string) string {
	if w.chinese {
		return strings.Join(texts, "；")
	}
	return strings.Join(texts, "; ")
}

// sentence ends a text with a full stop.
func (w words) sentence(s string) string {
	if w.chinese {
		return strings.TrimRight(s, "。.") + "。"
	}
	return strings.TrimRight(s, "。.") + "."
}

// basis says on how many answers a dimension rests.
func (w words) basis(answers int) string {
	if w.chinese {
		return fmt.Sprintf("（依据 %d 道题的回答）", answers)
	}
	return fmt.Sprintf(" (from %d answers)", answers)
}

// summary is the report in two or three sentences.
func summary(r *Report) string {
	w := wordsOf(r.Language)
	strongest, ok := r.Strongest()
	weakest, _ := r.Weakest()
	several := ok && strongest.Topic != weakest.Topic
	if w.chinese {
		s := fmt.Sprintf("共 %d 题，回答了 %d 题，综合得分 %d 分（%s）。", r.Total, r.Answered, r.Overall, w.bands[r.Band])
		if several {
			s += fmt.Sprintf("最好的是%s（%d 分），最弱的是%s（%d 分）。", w.topic(strongest.Topic), *strongest.Score, w.topic(weakest.Topic), *weakest.Score)
		}
		return s
	}
	s := fmt.Sprintf("%d of %d questions answered; overall %d of 100 (%s).", r.Answered, r.Total, r.Overall, w.bands[r.Band])
	if several {
		s += fmt.Sprintf(" Best on %s (%d), weakest on %s (%d).", w.topic(strongest.Topic), *strongest.Score, w.topic(weakest.Topic), *weakest.Score)
	}
	return s
}
