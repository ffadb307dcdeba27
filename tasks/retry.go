package tasks

// RetryOptions say how a person's retry of a job goes. The zero value runs the job
// again with what it has kept.
type RetryOptions struct {
	// NewRevision evaluates a job anew that has succeeded or was skipped: its next
	// revision is accepted and uses no step that was kept before, neither the job's
	// own nor one that the jobs of a report share. The result stays until the next
	// one is there. A dead or cancelled job has no result to keep, so it runs again
	// itself as with DropSteps.
	NewRevision bool
	// DropSteps runs the job again without the steps that were kept before.
	DropSteps bool
}

// Detail is what an audit log has on the retry: why, after what is unusual in it.
func (o RetryOptions) Detail(why string) string {
	what := ""
	switch {
	case o.NewRevision:
		what = "evaluate anew"
	case o.DropSteps:
		what = "drop the kept steps"
	}
	if what != "" && why != "" {
		what += ": "
	}
	return what + why
}
