package tasks

// Class names what went wrong, in a form that machines count and people read.
type Class string

// The classes. Policy in classes below says what each does to a job.
const (
	ClassInternal         Class = "internal"             // an error nobody classified
	ClassPanic            Class = "panic"                // the handler panicked
	ClassTimeout          Class = "timeout"              // over a time limit
	ClassNoProgress       Class = "no_progress"          // nothing was finished for too long
	ClassInvalidOutput    Class = "invalid_output"       // the model's answer could not be used
	ClassUnavailable      Class = "provider_unavailable" // the model could not be reached
	ClassRateLimited      Class = "rate_limited"         // the model's provider asks to slow down
	ClassOverloaded       Class = "overloaded"           // the model's provider is overloaded
	ClassAuth             Class = "provider_auth"        // the provider refuses our key
	ClassQuota            Class = "quota_exhausted"      // the provider's account is used up
	ClassStorage          Class = "storage"              // our own store could not be reached
	ClassRefused          Class = "provider_refused"     // the provider finds fault with the request
	ClassContextTooLong   Class = "context_too_long"     // the interview does not fit the model
	ClassContentFiltered  Class = "content_filtered"     // the provider refuses the content
	ClassNotAssessable    Class = "not_assessable"       // no reference and no key points to measure against
	ClassInterviewMissing Class = "interview_missing"    // the interview never arrived
	ClassWrongUser        Class = "wrong_user"           // the interview belongs to somebody else
	ClassInvalidPayload   Class = "invalid_payload"      // the task cannot be read
	ClassNoHandler        Class = "no_handler"           // no handler for this kind
	ClassWorkerLost       Class = "worker_lost"          // the worker died with the job
	ClassOperator         Class = "stopped_by_operator"  // a person archived it
)

type treatment int

const (
	charged   treatment = iota // costs an attempt
	transient                  // costs nothing; bounded by time
	permanent                  // another try would end the same
)

type classInfo struct {
	treatment treatment
	zh, en    string
}

// classes is the one table of what an error means: for the job, and in one
// sentence for the person who waits.
var classes = map[Class]classInfo{
	ClassInternal:         {charged, "评估时出现意外错误，系统会自动重试，您无需操作。", "Something unexpected went wrong; it is tried again by itself and you need not do anything."},
	ClassPanic:            {charged, "评估程序出错，系统会自动重试，您无需操作。", "The evaluation program failed; it is tried again by itself and you need not do anything."},
	ClassTimeout:          {charged, "评估用时过长而中断，系统会自动重试，您无需操作。", "The evaluation took too long; it is tried again by itself and you need not do anything."},
	ClassNoProgress:       {charged, "评估长时间没有进展，系统会自动重试，您无需操作。", "The evaluation made no progress; it is tried again by itself and you need not do anything."},
	ClassInvalidOutput:    {charged, "模型的回答无法使用，系统会自动重试，您无需操作。", "The model's answer could not be used; it is tried again by itself and you need not do anything."},
	ClassUnavailable:      {transient, "暂时连不上评估模型，恢复后会自动继续，您无需操作。", "The evaluation model cannot be reached; it goes on by itself when it is back and you need not do anything."},
	ClassRateLimited:      {transient, "评估请求较多，正在排队，稍后会自动继续，您无需操作。", "Many evaluations are being made; yours goes on shortly and you need not do anything."},
	ClassOverloaded:       {transient, "评估模型繁忙，稍后会自动继续，您无需操作。", "The evaluation model is busy; yours goes on shortly and you need not do anything."},
	ClassAuth:             {transient, "评估服务的配置需要修正，已保留您的请求，请等待管理员处理。", "The evaluation service needs a correction to its settings; your request is kept until an administrator has made it."},
	ClassQuota:            {transient, "评估额度已用完，已保留您的请求，请等待管理员处理。", "The evaluation budget is used up; your request is kept until an administrator has renewed it."},
	ClassStorage:          {transient, "存储暂时不可用，恢复后会自动继续，您无需操作。", "Storage is unavailable for the moment; it goes on by itself and you need not do anything."},
	ClassRefused:          {permanent, "评估模型拒绝了这次请求，请联系管理员检查模型配置。", "The evaluation model refuses this request; please contact an administrator, who checks the model's settings."},
	ClassContextTooLong:   {permanent, "这场面试的内容过长，无法评估，请联系管理员。", "This interview is too long to be evaluated; please contact an administrator."},
	ClassContentFiltered:  {permanent, "面试内容未通过模型的安全检查，无法评估，请联系管理员。", "The model refused the content of this interview; please contact an administrator."},
	ClassNotAssessable:    {permanent, "这些题目缺少参考答案或要点，无法评分，补充后可以重新评估。", "These questions have no reference answer or key points to measure against; add them and evaluate again."},
	ClassInterviewMissing: {permanent, "没有收到这场面试的内容，请确认面试已保存后重新提交。", "The interview was never received; make sure that it was saved and submit it again."},
	ClassWrongUser:        {permanent, "这场面试不属于该用户，无法评估，请核对后重新提交。", "This interview belongs to another user; check the ids and submit it again."},
	ClassInvalidPayload:   {permanent, "请求的内容无法读取，请重新提交。", "The request cannot be read; please submit it again."},
	ClassNoHandler:        {permanent, "系统还不支持这种评估，请联系管理员。", "No worker knows this kind of evaluation; please contact an administrator."},
	ClassWorkerLost:       {charged, "评估程序多次意外退出，请联系管理员。", "The evaluation program ended several times while at work on this; please contact an administrator."},
	ClassOperator:         {permanent, "管理员停止了这次评估，如有需要请联系管理员。", "An administrator stopped this evaluation; please contact them if you need it."},
}

// Classes lists every class.
func Classes() []Class {
	return []Class{
		ClassInternal, ClassPanic, ClassTimeout, ClassNoProgress, ClassInvalidOutput, ClassUnavailable,
		ClassRateLimited, ClassOverloaded, ClassAuth, ClassQuota, ClassStorage, ClassRefused, ClassContextTooLong,
		ClassContentFiltered, ClassNotAssessable, ClassInterviewMissing, ClassWrongUser, ClassInvalidPayload,
		ClassNoHandler, ClassWorkerLost, ClassOperator,
	}
}

// Valid reports whether c is in the table.
func (c Class) Valid() bool { _, ok := classes[c]; return ok }

// Permanent reports whether another attempt would end the same way. A class
// that is not in the table is not permanent.
func (c Class) Permanent() bool { return classes[c].treatment == permanent }

// Transient reports whether the error is not the job's own: it costs no
// attempt and is bounded by Policy.TransientFor instead.
func (c Class) Transient() bool { return classes[c].treatment == transient }

// Sentence tells the person who waits what happened and whether to do
// anything. Lang is "zh" or "en"; anything else is English. When the job has
// given up, what was going to be retried is not any more, and the sentence
// says so.
func (c Class) Sentence(lang string, gaveUp bool) string {
	info, ok := classes[c]
	if !ok {
		info = classes[ClassInternal]
	}
	if gaveUp && info.treatment != permanent && c != ClassWorkerLost {
		if lang == "zh" {
			return "多次尝试后评估仍未成功，请联系管理员重新运行。"
		}
		return "The evaluation did not succeed after several tries; please ask an administrator to run it again."
	}
	if lang == "zh" {
		return info.zh
	}
	return info.en
}
