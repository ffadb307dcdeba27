// Package rubric is the judge that needs no network and no model. It measures
// how much of what a full answer says occurs in an answer, by shared words.
//
// English is compared by stemmed words, with near spellings at a discount;
// Chinese by pairs of neighbouring characters. Words of the question count a
// fifth, because repeating the question is no answer, and so do words that
// carry only grammar. On key points the score is the weighted mean of their
// credits; on a prose reference the coverage c is bent to 1-(1-c)^5, because
// nobody repeats a prose reference in full: human graders give 85 to 90 percent
// at c = 0.3.
//
// It is honest about what it is: completeness is the only dimension it
// assesses. It cannot tell a wrong statement made with the right words, does
// not recognise a paraphrase that shares no words, and an answer in which it
// recognises little is sent to a person, not called wrong.
package rubric
