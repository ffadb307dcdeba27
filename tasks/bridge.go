package tasks

import "time"

// BridgeChannel counts what came over the bridge from one channel of the old
// Pub/Sub contract. Each bridge counts what it was sent: with two of them a
// message counts twice, and makes one job.
type BridgeChannel struct {
	Channel string `json:"channel"`

	Received  int64 `json:"received"`
	Submitted int64 `json:"submitted"` // made a job, or brought one to life
	Existing  int64 `json:"existing"`  // of a job that was there
	// Resolved counts messages with an id that a float64 had damaged and of which
	// one interview alone could be meant. They are also submitted or existing.
	Resolved    int64 `json:"resolved"`
	Quarantined int64 `json:"quarantined"`
	// Unkept counts what could not be read and was not kept either, because the
	// quarantine had enough of it or the bridge only compares.
	Unkept int64 `json:"unkept"`
	// Lost counts messages that a bridge had and could not store before it had to
	// stop.
	Lost int64 `json:"lost"`

	// Gaps counts times in which a bridge was not subscribed, GapMS their
	// milliseconds. What was published then, no bridge knows.
	Gaps  int64 `json:"gaps"`
	GapMS int64 `json:"gap_ms"`

	// What a bridge that only compares has found.
	ShadowFound   int64 `json:"shadow_found"`
	ShadowMissing int64 `json:"shadow_missing"`

	LastAt time.Time `json:"last_at,omitzero"` // the newest message
	GapAt  time.Time `json:"gap_at,omitzero"`  // the end of the newest gap
	SeenAt time.Time `json:"seen_at,omitzero"` // when a bridge was subscribed last
}

// BridgeQuiet is how old SeenAt is at most while a bridge is subscribed.
const BridgeQuiet = 10 * time.Second

// Subscribed reports whether a bridge is subscribed, as far as one can know.
func (c BridgeChannel) Subscribed(now time.Time) bool { return now.Sub(c.SeenAt) <= BridgeQuiet }

// Retired reports whether nothing was published for so long that nobody misses a
// bridge.
func (c BridgeChannel) Retired(now time.Time) bool {
	return now.Sub(c.LastAt) > 7*24*time.Hour && now.Sub(c.SeenAt) > BridgeQuiet
}

// Gap is how long all gaps were together.
func (c BridgeChannel) Gap() time.Duration { return time.Duration(c.GapMS) * time.Millisecond }

// Plus adds the counts and times of a later part.
func (c BridgeChannel) Plus(later BridgeChannel) BridgeChannel {
	c.Received += later.Received
	c.Submitted += later.Submitted
	c.Existing += later.Existing
	c.Resolved += later.Resolved
	c.Quarantined += later.Quarantined
	c.Unkept += later.Unkept
	c.Lost += later.Lost
	c.Gaps += later.Gaps
	c.GapMS += later.GapMS
	c.ShadowFound += later.ShadowFound
	c.ShadowMissing += later.ShadowMissing
	for _, t := range []struct{ have, got *time.Time }{{&c.LastAt, &later.LastAt}, {&c.GapAt, &later.GapAt}, {&c.SeenAt, &later.SeenAt}} {
		if t.got.After(*t.have) {
			*t.have = *t.got
		}
	}
	return c
}
