-- +goose Up

-- Which kept steps a job may use: its own of attempts above steps_after, and those
-- of other jobs that were begun after steps_since. 0 is all.
ALTER TABLE evalq_jobs ADD COLUMN steps_since ${INT} NOT NULL DEFAULT 0;
ALTER TABLE evalq_jobs ADD COLUMN steps_after ${INT} NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE evalq_jobs DROP COLUMN steps_after;
ALTER TABLE evalq_jobs DROP COLUMN steps_since;
