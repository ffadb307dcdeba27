package rubric

import (
	"fmt"
	"math"

	"evalq/internal/evaluation"
)

// phrases are what the judge says, in one language. Those with %s take a
// point's text.
type phrases struct {
	covered, missing, partial, supply, complete string
	notAssessed, noReference, echo              string
	onPoints, onReference                       string
}

var chinesePhrases = phrases{
	covered:     "讲到了：%s",
	missing:     "没有讲到：%s",
	partial:     "讲得不完整：%s",
	supply:      "可以补充：%s",
	complete:    "可以讲得更完整：%s",
	notAssessed: "离线评估不判断这一维度",
	noReference: "没有参考答案或要点，无法评分",
	echo:        "重复了题目，没有给出自己的内容",
	onPoints:    "要点覆盖率 %d%%，%d 个要点中讲到 %d 个",
	onReference: "与参考答案的用词重合度为 %d%%",
}

var englishPhrases = phrases{
	covered:     "Covered: %s",
	missing:     "Not mentioned: %s",
	partial:     "Incomplete: %s",
	supply:      "Add: %s",
	complete:    "Say more about: %s",
	notAssessed: "The offline judge does not assess this",
	noReference: "There is no reference and no key point to measure against",
	echo:        "Repeats the question and adds nothing of its own",
	onPoints:    "%d%% of the key points by weight; of %d points %d covered",
	onReference: "%d%% of the words of the reference occur",
}

func phrasesOf(lang string) phrases {
	if lang == evaluation.Chinese {
		return chinesePhrases
	}
	return englishPhrases
}

// format puts in a text of at most 80 runes.
func (phrases) format(pattern, text string) string {
	const limit = 80
	n := 0
	for i := range text {
		if n == limit {
			text = text[:i] + "…"
			break
		}
		n++
	}
	return fmt.Sprintf(pattern, text)
}

func (s phrases) basis(m measurement) string {
	percent := int(math.Round(100 * m.coverage))
	if m.prose {
		return fmt.Sprintf(s.onReference, percent)
	}
	covered := 0
	for _, p := range m.points {
		if p.Status == evaluation.Covered {
			covered++
		}
	}
	return fmt.Sprintf(s.onPoints, percent, len(m.points), covered)
}
