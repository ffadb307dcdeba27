-- +goose Up

-- Times are milliseconds since 1970 in UTC; 0 means that it has not happened.

CREATE TABLE evalq_meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE evalq_jobs (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT    NOT NULL UNIQUE,
    kind            TEXT    NOT NULL,
    user_id         INTEGER NOT NULL,
    report_id       INTEGER NOT NULL,
    revision        INTEGER NOT NULL,
    queue           TEXT    NOT NULL,
    state           TEXT    NOT NULL,
    hold            TEXT    NOT NULL DEFAULT '',
    hold_since      INTEGER NOT NULL DEFAULT 0,
    skipped         TEXT    NOT NULL DEFAULT '',
    delivery        INTEGER NOT NULL DEFAULT 1,
    attempt         INTEGER NOT NULL DEFAULT 0,
    worker          TEXT    NOT NULL DEFAULT '',
    run             INTEGER NOT NULL DEFAULT 1,
    charged         INTEGER NOT NULL DEFAULT 0,
    deaths          INTEGER NOT NULL DEFAULT 0,
    transients      INTEGER NOT NULL DEFAULT 0,
    transient_since INTEGER NOT NULL DEFAULT 0,
    budget          INTEGER NOT NULL,
    accepted_at     INTEGER NOT NULL,
    due_at          INTEGER NOT NULL DEFAULT 0,
    started_at      INTEGER NOT NULL DEFAULT 0,
    finished_at     INTEGER NOT NULL DEFAULT 0,
    moved_at        INTEGER NOT NULL,
    done            INTEGER NOT NULL DEFAULT 0,
    kept            INTEGER NOT NULL DEFAULT 0,
    total           INTEGER NOT NULL DEFAULT 0,
    cancel_asked    INTEGER NOT NULL DEFAULT 0,
    chore           INTEGER NOT NULL DEFAULT 0,
    dead_retried    INTEGER NOT NULL DEFAULT -1,
    error_class     TEXT    NOT NULL DEFAULT '',
    error_message   TEXT    NOT NULL DEFAULT '',
    judge           TEXT    NOT NULL DEFAULT '',
    input_hash      TEXT    NOT NULL DEFAULT '',
    data            BLOB,
    UNIQUE (kind, user_id, report_id, revision)
);
-- What the relay hands out: ready jobs of one queue, by user, in order of acceptance.
CREATE INDEX evalq_jobs_ready ON evalq_jobs (state, queue, due_at, user_id, seq);
-- What becomes due.
CREATE INDEX evalq_jobs_due ON evalq_jobs (state, due_at);
-- Lists by state, newest first.
CREATE INDEX evalq_jobs_state ON evalq_jobs (state, seq);
CREATE INDEX evalq_jobs_report ON evalq_jobs (report_id, user_id);
CREATE INDEX evalq_jobs_user ON evalq_jobs (user_id, seq);
CREATE INDEX evalq_jobs_kind ON evalq_jobs (kind, seq);
CREATE INDEX evalq_jobs_queue ON evalq_jobs (queue, seq);
CREATE INDEX evalq_jobs_class ON evalq_jobs (error_class, seq) WHERE error_class <> '';
CREATE INDEX evalq_jobs_chore ON evalq_jobs (chore, seq);

CREATE TABLE evalq_attempts (
    job_id      TEXT    NOT NULL,
    number      INTEGER NOT NULL,
    run         INTEGER NOT NULL,
    delivery    INTEGER NOT NULL,
    worker      TEXT    NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER NOT NULL DEFAULT 0,
    outcome     TEXT    NOT NULL DEFAULT '',
    charged     INTEGER NOT NULL DEFAULT 0,
    saved       INTEGER NOT NULL DEFAULT 0,
    class       TEXT    NOT NULL DEFAULT '',
    message     TEXT    NOT NULL DEFAULT '',
    stack       TEXT    NOT NULL DEFAULT '',
    stuck       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, number)
);

CREATE TABLE evalq_events (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id     TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    from_state TEXT    NOT NULL,
    to_state   TEXT    NOT NULL,
    who        TEXT    NOT NULL,
    why        TEXT    NOT NULL,
    build      TEXT    NOT NULL
);
CREATE INDEX evalq_events_job ON evalq_events (job_id, seq);

-- One result a job; the key makes a second one impossible.
CREATE TABLE evalq_results (
    job_id     TEXT    NOT NULL PRIMARY KEY,
    attempt    INTEGER NOT NULL,
    judge      TEXT    NOT NULL,
    body       BLOB    NOT NULL,
    created_at INTEGER NOT NULL
);

-- A row without done_at is a claim: an attempt is at work on the step.
CREATE TABLE evalq_checkpoints (
    scope      TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    job_id     TEXT    NOT NULL,
    attempt    INTEGER NOT NULL,
    value      BLOB,
    claimed_at INTEGER NOT NULL,
    done_at    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, name)
);
CREATE INDEX evalq_checkpoints_job ON evalq_checkpoints (job_id, attempt);

CREATE TABLE evalq_interviews (
    report_id  INTEGER NOT NULL PRIMARY KEY,
    user_id    INTEGER NOT NULL,
    hash       TEXT    NOT NULL,
    body       BLOB    NOT NULL,
    updated_at INTEGER NOT NULL
);

CREATE TABLE evalq_workers (
    id         TEXT    NOT NULL PRIMARY KEY,
    host       TEXT    NOT NULL,
    pid        INTEGER NOT NULL,
    build      TEXT    NOT NULL,
    slots      INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    beat_at    INTEGER NOT NULL,
    draining   INTEGER NOT NULL DEFAULT 0,
    ended_at   INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE evalq_queues (
    name   TEXT    NOT NULL PRIMARY KEY,
    paused INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE evalq_audit (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    who    TEXT    NOT NULL,
    action TEXT    NOT NULL,
    target TEXT    NOT NULL,
    detail TEXT    NOT NULL,
    remote TEXT    NOT NULL
);

-- +goose Down
DROP TABLE evalq_audit;
DROP TABLE evalq_queues;
DROP TABLE evalq_workers;
DROP TABLE evalq_interviews;
DROP TABLE evalq_checkpoints;
DROP TABLE evalq_results;
DROP TABLE evalq_events;
DROP TABLE evalq_attempts;
DROP TABLE evalq_jobs;
DROP TABLE evalq_meta;
