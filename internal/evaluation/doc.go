// Package evaluation is what an evaluation is made of: the interview that goes
// in, the evaluation of one answer, the report over all of them, and the rules
// that turn one into the next. It does no I/O. What it needs of the world it
// declares as Store, Judge and Steps.
//
// A Judge looks at one answer and says which points it covers and how it does
// on each dimension. Everything that can be computed is computed here and
// never taken from a judge: scores, bands, caps, means, the report. So two
// judges differ in what they see, not in how they count.
//
// Service ties it together: it loads an interview, evaluates each answer once,
// however often and in whichever kind of job it is asked for, and aggregates.
package evaluation
