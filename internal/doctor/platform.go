package doctor

import "context"

// platform looks at the database from which interviews come.
func (v *visit) platform(ctx context.Context) ([]Finding, error) {
	const advice = "see that the database server runs, that the URL in --platform-db is right and that its user has the rights that docs/operations.md lists; until then jobs are tried again"
	if v.PlatformErr != nil {
		return one(failure(v.PlatformErr.Error(), advice))
	}
	if v.Platform == nil {
		return none()
	}
	if err := v.Platform.Check(ctx); err != nil {
		return one(failure(err.Error(), advice))
	}
	return one(fine("%s answers and has what is needed", v.PlatformPlace))
}
