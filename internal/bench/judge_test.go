package bench_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"evalq/internal/bench"
)

const graded = `id,score01,question,reference,student,alt_references
1,1.0,What is a mutex for?,It lets one goroutine at a time enter a critical section.,"It is a lock, so only one goroutine at a time can be in the critical section.",
2,0.5,What is a mutex for?,It lets one goroutine at a time enter a critical section.,It protects a section of the program.,[]
3,0,What is a mutex for?,It lets one goroutine at a time enter a critical section.,No idea about it sorry,
4,0.0,What is a mutex for?,It lets one goroutine at a time enter a critical section.,,
5,1,Redis 为什么快？,数据都放在内存里,因为基于内存,"[""基于内存，用多路复用处理连接""]"
6,0.2,Why?,,Because it is.,
`

func TestJudgeCSVAgreesWithSensibleGrades(t *testing.T) {
	t.Parallel()
	res, err := bench.JudgeCSV(strings.NewReader("\ufeff" + graded))
	if err != nil {
		t.Fatal(err)
	}
	if res.Rows != 6 || res.N != 5 || res.Unassessable != 1 {
		t.Errorf("rows %d, assessed %d, unassessable %d", res.Rows, res.N, res.Unassessable)
	}
	if res.R == nil || *res.R < 0.7 || *res.R > 1 || res.QWK == nil || *res.QWK < 0.5 || *res.QWK > 1 || res.RMSE > 1.5 {
		t.Errorf("result = %+v", res)
	}
}

func TestJudgeCSVTakesTheBestOfTheReferences(t *testing.T) {
	t.Parallel()
	const one = "question,reference,student,score01,alt_references\nWhy is it fast?,It keeps data in memory.,An event loop serves all connections,1,%s\n"
	without, err := bench.JudgeCSV(strings.NewReader(strings.Replace(one, "%s", "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	with, err := bench.JudgeCSV(strings.NewReader(strings.Replace(one, "%s", `"[""One event loop serves all connections.""]"`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if with.RMSE >= without.RMSE {
		t.Errorf("error with the alternative %v, without %v", with.RMSE, without.RMSE)
	}
}

func TestJudgeCSVComputesTheErrorOnTheScaleOfFive(t *testing.T) {
	t.Parallel()
	// Blank answers are judged 0 for certain.
	res, err := bench.JudgeCSV(strings.NewReader("question,reference,student,score01\nWhy?,Because.,,0.6\nWhy?,Because.,,0.8\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := math.Sqrt((9.0 + 16.0) / 2); math.Abs(res.RMSE-want) > 1e-9 {
		t.Errorf("rmse = %v, want %v", res.RMSE, want)
	}
	if res.R != nil {
		t.Errorf("r = %v where the judge never varied", *res.R)
	}
	if res.QWK == nil || *res.QWK != 0 {
		t.Errorf("qwk = %v, want 0: no better than chance", res.QWK)
	}
	if _, err := json.Marshal(res); err != nil {
		t.Errorf("as JSON: %v", err)
	}
}

func TestJudgeCSVNamesTheLineOfBadInput(t *testing.T) {
	t.Parallel()
	const header = "question,reference,student,score01,alt_references\n"
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", "the file is empty"},
		{"no column", "question,reference,student\n", `line 1: the column "score01" is missing`},
		{"column twice", "question,question,reference,student,score01\n", `line 1: the column "question" is there twice`},
		{"no rows", header, "none of 0 rows can be assessed"},
		{"grade is no number", header + "q,r,s,high,\n", `line 2: score01: "high" is not a number from 0 to 1`},
		{"grade not a number at all", header + "q,r,s,NaN,\n", "line 2: score01"},
		{"grade too large", header + "q,r,s,1,\n\"q\nq\",r,s,5,\n", "line 3: score01"},
		{"too few fields", header + "q,r,s,1,\nq,r\n", "line 3: not CSV"},
		{"open quote", header + "\"q,r,s,1,\n", "line 2: not CSV"},
		{"alternatives no list", header + "q,r,s,1,none\n", "line 2: alt_references: not a JSON list"},
		{"nothing to measure against", header + "q,,s,1,\nq,,,0,[]\n", "none of 2 rows can be assessed"},
	} {
		_, err := bench.JudgeCSV(strings.NewReader(tc.text))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestJudgeCSVReportsAFailingReader(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	if _, err := bench.JudgeCSV(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("error = %v", err)
	}
}
