package doctor

import (
	"context"
	"fmt"
	"time"

	"evalq/tasks"
)

// recent is how long ago something happened that still matters.
const recent = 24 * time.Hour

// bridge looks at each old channel: who still publishes there, and what of that may
// be lost.
func (v *visit) bridge(ctx context.Context) ([]Finding, error) {
	if v.Ledger == nil {
		return none()
	}
	all, err := v.Ledger.Bridge(ctx)
	if err != nil {
		return nil, err
	}
	now := v.Ledger.Now()
	var out []Finding
	for _, c := range all {
		out = append(out, v.channel(c, now)...)
	}
	return out, nil
}

func (v *visit) channel(c tasks.BridgeChannel, now time.Time) (out []Finding) {
	name := clip(c.Channel)
	ago := func(t time.Time) string { return now.Sub(t).Round(time.Second).String() + " ago" }
	switch {
	case c.Subscribed(now):
	case c.Retired(now):
		return []Finding{note(fmt.Sprintf("no bridge is subscribed to %s; nothing had come from there for a week", name), "")}
	case v.Stopped:
		out = append(out, note(fmt.Sprintf("no bridge is subscribed to %s while no server runs; what is published there is lost", name), "start `evalq serve` with the role bridge"))
	default:
		out = append(out, warning(fmt.Sprintf("no bridge is subscribed to %s; the last one was %s, and what is published there since is lost", name, ago(c.SeenAt)),
			"start a process with the role bridge; its log says why one that runs is not subscribed"))
	}
	if !c.GapAt.IsZero() && now.Sub(c.GapAt) < recent {
		out = append(out, warning(fmt.Sprintf("no bridge heard %s for a while, until %s; in all %s of %v together", name, ago(c.GapAt), amount(int(c.Gaps), "gap"), c.Gap().Round(time.Millisecond)),
			"what was published then is lost, unless another bridge was subscribed: `evalq backfill` finds the interviews that ended then"))
	}
	if c.Lost > 0 {
		out = append(out, note(fmt.Sprintf("a bridge that had to stop lost %s from %s", amount(int(c.Lost), "message"), name), "`evalq backfill` finds the interviews that ended then"))
	}
	if c.ShadowMissing > 0 {
		out = append(out, note(fmt.Sprintf("of %s from %s that were compared, %d had no job", amount(int(c.ShadowFound+c.ShadowMissing), "message"), name, c.ShadowMissing), "see that all programs submit in the new way before the old one is switched off"))
	}
	switch {
	case c.LastAt.IsZero():
		out = append(out, fine("nothing was ever published on %s while a bridge heard it", name))
	case now.Sub(c.LastAt) < recent:
		out = append(out, note(fmt.Sprintf("programs still publish on %s: the newest message came %s, %d in all", name, ago(c.LastAt), c.Received),
			"nothing, while they cannot be changed; Pub/Sub loses what nobody hears, so have them submit in the new way"))
	default:
		out = append(out, fine("nothing was published on %s since %s", name, c.LastAt.UTC().Format(time.RFC3339)))
	}
	return out
}
