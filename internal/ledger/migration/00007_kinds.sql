-- +goose Up

-- The kinds that a worker process has handlers for.
CREATE TABLE evalq_worker_kinds (
    worker ${KEY64} NOT NULL,
    kind   ${KEY63} NOT NULL,
    PRIMARY KEY (worker, kind)
)${TABLE};
-- Workers that are at work during the migration announce nothing. They are of a version whose own
-- handlers are those of the built-in kinds.
INSERT INTO evalq_worker_kinds (worker, kind) SELECT id, 'evaluation_report' FROM evalq_workers WHERE ended_at = 0;
INSERT INTO evalq_worker_kinds (worker, kind) SELECT id, 'topic_evaluation' FROM evalq_workers WHERE ended_at = 0;

-- When a program that may have no worker last announced a kind.
CREATE TABLE evalq_kinds (
    kind    ${KEY63} NOT NULL PRIMARY KEY,
    seen_at ${INT}   NOT NULL
)${TABLE};

-- Held jobs by what they wait for, in the order of a round of users.
CREATE INDEX evalq_jobs_hold ON evalq_jobs (hold, queue, kind, user_id, seq)${ONLY hold <> ''};

-- +goose Down
DROP INDEX evalq_jobs_hold${OF evalq_jobs};
DROP TABLE evalq_kinds;
DROP TABLE evalq_worker_kinds;
