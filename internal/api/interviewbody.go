package api

// InterviewBody documents the body that stores an interview;
// evaluation.ParseInterview reads it and fills in what is left out.
type InterviewBody struct {
	UserID   int64        `json:"user_id" minimum:"1" doc:"Whose interview, 1 to 9223372036854775807." example:"7"`
	ReportID int64        `json:"report_id,omitempty" minimum:"1" doc:"Left out, it is that of the address."`
	Title    string       `json:"title,omitempty"`
	Position string       `json:"position,omitempty"`
	Language string       `json:"language,omitempty" enum:"zh,en" doc:"The language of the results. Left out, it is that of the questions."`
	Answers  []AnswerBody `json:"answers" nullable:"false" doc:"In the order of the interview. With none, [], an evaluation is skipped."`
}

// AnswerBody is one question and what was answered.
type AnswerBody struct {
	DialogID   string         `json:"dialog_id,omitempty" doc:"Unique in the interview. Left out, it is the position from 1."`
	Topic      string         `json:"topic,omitempty"`
	Difficulty int            `json:"difficulty,omitempty" minimum:"1" maximum:"5" doc:"1 (easy) to 5 (hard). Left out, it is 3."`
	Question   string         `json:"question"`
	Answer     string         `json:"answer,omitempty" doc:"Empty when the question was left unanswered."`
	Reference  string         `json:"reference,omitempty" doc:"A model answer in prose."`
	KeyPoints  []KeyPointBody `json:"key_points,omitempty" nullable:"false" doc:"What a full answer says. The offline judge needs these or a reference."`
}

// KeyPointBody is one thing that a full answer says.
type KeyPointBody struct {
	ID      string   `json:"id,omitempty" doc:"Unique in the answer. Left out, it is p1, p2 and so on."`
	Text    string   `json:"text"`
	Weight  float64  `json:"weight,omitempty" minimum:"0.001" maximum:"1000" doc:"Relative to the other points of the answer. Left out, it is 1."`
	Aliases []string `json:"aliases,omitempty" nullable:"false" doc:"Other ways of saying the point, in any language."`
}
