-- +goose Up

-- Finished jobs by the time of their end: first those whose history is still
-- there. A job that moves on has a history again.
ALTER TABLE evalq_jobs ADD COLUMN trimmed ${INT} NOT NULL DEFAULT 0;
CREATE INDEX evalq_jobs_finished ON evalq_jobs (trimmed, finished_at)${ONLY finished_at > 0};

CREATE INDEX evalq_interviews_user ON evalq_interviews (user_id);

-- Jobs that were removed a while ago, so that a task of one which turns up late is
-- not taken for a new wish.
CREATE TABLE evalq_gone (
    job_id ${KEY64} NOT NULL PRIMARY KEY,
    gone_at ${INT}  NOT NULL
)${TABLE};
CREATE INDEX evalq_gone_at ON evalq_gone (gone_at);

-- +goose Down
DROP TABLE evalq_gone;
DROP INDEX evalq_interviews_user${OF evalq_interviews};
DROP INDEX evalq_jobs_finished${OF evalq_jobs};
ALTER TABLE evalq_jobs DROP COLUMN trimmed;
