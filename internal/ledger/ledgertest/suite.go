package ledgertest

import "testing"

// Run runs the suite, each test on a ledger of its own.
func Run(t *testing.T, open Opener) {
	for _, c := range []struct {
		name string
		test func(*world)
	}{
		{"an accepted job is there with its history", acceptedJobIsThere},
		{"submitting again returns the job that exists", submittingAgainReturnsTheJob},
		{"a dead job is revived with a fresh budget", deadJobIsRevived},
		{"a passive request leaves dead and cancelled jobs alone", passiveLeavesAlone},
		{"a cancelled job stays cancelled unless asked anew", cancelledStays},
		{"a changed interview starts the next revision, asked twice still one", changedInterviewNextRevision},
		{"a custom kind's changed data starts the next revision at once", customDataNextRevision},
		{"bad requests are refused and nothing is stored", badRequestsRefused},
		{"ids keep every digit", idsKeepEveryDigit},
		{"a batch answers each request for itself", batchAnswersEach},
		{"a batch and a crowd end as one by one does", batchesEndAsOneByOne},
		{"an older delivery is settled without a run", olderDeliverySettled},
		{"a second arrival while the attempt lives is busy", secondArrivalIsBusy},
		{"a task unknown here is unknown", unknownTask},
		{"a job whose hand-over was taken back is still begun when its task arrives", takenBackStillBegun},
		{"a result is stored once with its state", resultStoredOnce},
		{"a zombie's writes are refused", zombieRefused},
		{"dead is written only after the last attempt", deadOnlyAfterLast},
		{"transient errors cost nothing until their time is over", transientBoundedByTime},
		{"a permanent error is dead at once", permanentDeadAtOnce},
		{"an attempt that saved a step is free", savedAttemptIsFree},
		{"the other side's wait is respected", retryAfterRespected},
		{"a missing interview holds the job and its arrival releases it", missingInterviewHolds},
		{"an interview that never arrives ends the job", missingInterviewEnds},
		{"a handed back job is delivered again uncharged", handBackUncharged},
		{"an empty interview ends as skipped", skipped},
		{"cancel of a waiting job is immediate", cancelWaiting},
		{"cancel of a running job is final whatever its handler returns", cancelRunningIsFinal},
		{"retry by hand gives a fresh budget and a new delivery", retryByHand},
		{"acts that the state forbids are conflicts", forbiddenActs},
		{"an operator's archive is dead and can be revived", archiveAndRevive},
		{"an operator's run past our routes counts as a retry by hand", forcedRun},
		{"a lost worker's job is delivered again and its third death is the last", lostWorker},
		{"a death after a saved step is not counted", deathAfterSaveFree},
		{"a step is claimed before it is paid and kept after", stepClaimedAndKept},
		{"a step of a dead attempt is taken over", stepTakenOver},
		{"a job that waits for another's answer is released when it is saved", answerInProgressReleased},
		{"a job that would wait for an answer that is there by now goes on at once", answerThereByNow},
		{"neither a silent hour nor a clock that jumps is a death", clockIsNoDeath},
		{"an attempt that its worker never learned of is handed back", strays},
		{"a worker that leaves hands back what runs, and stuck handlers are deaths", leaving},
		{"an interview that arrives before the hold releases the job", interviewArrivesMidway},
		{"a job that began before its interview has a next revision", begunBeforeItsInterview},
		{"held jobs do not wake each other, a step that was let go does", heldDoNotWakeEachOther},
		{"retrying jobs count into the window", retryingFillsTheWindow},
		{"a clock that went back hides nothing", clockWentBack},
		{"users take turns", usersTakeTurns},
		{"the window bounds a user and a queue", windowBounds},
		{"the round goes on where it stopped", roundGoesOn},
		{"run-at is the ledger's timer", runAt},
		{"a lost task is delivered under a new number", redeliver},
		{"a task that was taken and not begun is delivered again", unbegun},
		{"the overview counts and names who waits longest", overview},
		{"lists filter and page without gap or repeat", listPages},
		{"an interview of another user is refused", interviewOwner},
		{"pauses and audit entries are kept", pausesAndAudit},
		{"what cannot be read is kept once, with its bytes, until somebody settles it", quarantine},
		{"a caller who gave up before the batch is not accepted", gaveUpBefore},
		{"old history is trimmed once, and the job keeps its result", trimKeepsResults},
		{"a trimmed job that is revived keeps its steps and has its new history trimmed in time", trimRevived},
		{"trim works in small writes until all is done", trimMany},
		{"ended workers are forgotten after a month", oldWorkersGo},
		{"a purge takes what finished before and all that belongs to it, as its dry run says", purgeTakesWhatBelongs},
		{"the answers and the interview of a report go with its last job, unless the interview has changed", purgeKeepsSharedAnswers},
		{"a task of a removed job that turns up late is settled", purgedTaskSettled},
		{"a purge in turns gets on with each", purgeInTurns},
		{"a purge that cannot reach Redis removes nothing", purgeStopsWithoutRedis},
		{"an erasure takes everything of one user when nothing of theirs runs", eraseTakesAll},
		{"an erasure's dry run says what it takes", eraseCountsAlike},
		{"many callers at once are all accepted, each key once", manyCallers},
		{"random interleavings keep every rule", randomInterleavings},
		{"waiters learn of the end", waitersLearn},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(newWorld(t, open))
		})
	}
}
