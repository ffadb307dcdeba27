-- +goose Up

-- The words in ${…} stand for those of each database; see words.go. The lengths
-- behind KEY matter only where a key has to have one.
-- Times are milliseconds since 1970 in UTC; 0 means that it has not happened.

CREATE TABLE evalq_meta (
    name  ${KEY191} NOT NULL PRIMARY KEY,
    value ${TEXT} NOT NULL
)${TABLE};

CREATE TABLE evalq_jobs (
    seq             ${SERIAL},
    id              ${KEY64}    NOT NULL UNIQUE,
    kind            ${KEY63}    NOT NULL,
    user_id         ${INT} NOT NULL,
    report_id       ${INT} NOT NULL,
    revision        ${INT} NOT NULL,
    queue           ${KEY32}    NOT NULL,
    state           ${KEY16}    NOT NULL,
    hold            ${KEY63}    NOT NULL DEFAULT '',
    hold_since      ${INT} NOT NULL DEFAULT 0,
    skipped         ${TEXT}    NOT NULL DEFAULT (''),
    delivery        ${INT} NOT NULL DEFAULT 1,
    attempt         ${INT} NOT NULL DEFAULT 0,
    worker          ${KEY64}    NOT NULL DEFAULT '',
    run             ${INT} NOT NULL DEFAULT 1,
    charged         ${INT} NOT NULL DEFAULT 0,
    deaths          ${INT} NOT NULL DEFAULT 0,
    transients      ${INT} NOT NULL DEFAULT 0,
    transient_since ${INT} NOT NULL DEFAULT 0,
    budget          ${INT} NOT NULL,
    accepted_at     ${INT} NOT NULL,
    due_at          ${INT} NOT NULL DEFAULT 0,
    started_at      ${INT} NOT NULL DEFAULT 0,
    finished_at     ${INT} NOT NULL DEFAULT 0,
    moved_at        ${INT} NOT NULL,
    done            ${INT} NOT NULL DEFAULT 0,
    kept            ${INT} NOT NULL DEFAULT 0,
    total           ${INT} NOT NULL DEFAULT 0,
    cancel_asked    ${INT} NOT NULL DEFAULT 0,
    chore           ${INT} NOT NULL DEFAULT 0,
    dead_retried    ${INT} NOT NULL DEFAULT -1,
    error_class     ${KEY63}    NOT NULL DEFAULT '',
    error_message   ${TEXT}    NOT NULL DEFAULT (''),
    judge           ${TEXT}    NOT NULL DEFAULT (''),
    input_hash      ${KEY64}    NOT NULL DEFAULT '',
    data            ${BLOB},
    UNIQUE (kind, user_id, report_id, revision)
)${TABLE};
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
CREATE INDEX evalq_jobs_class ON evalq_jobs (error_class, seq)${ONLY error_class <> ''};
CREATE INDEX evalq_jobs_chore ON evalq_jobs (chore, seq);

CREATE TABLE evalq_attempts (
    job_id      ${KEY64}    NOT NULL,
    number      ${INT} NOT NULL,
    run         ${INT} NOT NULL,
    delivery    ${INT} NOT NULL,
    worker      ${KEY64}    NOT NULL,
    started_at  ${INT} NOT NULL,
    finished_at ${INT} NOT NULL DEFAULT 0,
    outcome     ${KEY16}    NOT NULL DEFAULT '',
    charged     ${INT} NOT NULL DEFAULT 0,
    saved       ${INT} NOT NULL DEFAULT 0,
    class       ${KEY63}    NOT NULL DEFAULT '',
    message     ${TEXT}    NOT NULL DEFAULT (''),
    stack       ${TEXT}    NOT NULL DEFAULT (''),
    stuck       ${INT} NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, number)
)${TABLE};

CREATE TABLE evalq_events (
    seq        ${SERIAL},
    job_id     ${KEY64}    NOT NULL,
    at         ${INT} NOT NULL,
    from_state ${KEY16}    NOT NULL,
    to_state   ${KEY16}    NOT NULL,
    who        ${TEXT}    NOT NULL,
    why        ${TEXT}    NOT NULL,
    build      ${TEXT}    NOT NULL
)${TABLE};
CREATE INDEX evalq_events_job ON evalq_events (job_id, seq);

-- One result a job; the key makes a second one impossible.
CREATE TABLE evalq_results (
    job_id     ${KEY64}    NOT NULL PRIMARY KEY,
    attempt    ${INT} NOT NULL,
    judge      ${TEXT}    NOT NULL,
    body       ${BLOB}    NOT NULL,
    created_at ${INT} NOT NULL
)${TABLE};

-- A row without done_at is a claim: an attempt is at work on the step.
CREATE TABLE evalq_checkpoints (
    scope      ${KEY191}    NOT NULL,
    name       ${KEY500}    NOT NULL,
    job_id     ${KEY64}    NOT NULL,
    attempt    ${INT} NOT NULL,
    value      ${BLOB},
    claimed_at ${INT} NOT NULL,
    done_at    ${INT} NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, name)
)${TABLE};
CREATE INDEX evalq_checkpoints_job ON evalq_checkpoints (job_id, attempt);

CREATE TABLE evalq_interviews (
    report_id  ${INT} NOT NULL PRIMARY KEY,
    user_id    ${INT} NOT NULL,
    hash       ${TEXT}    NOT NULL,
    body       ${BLOB}    NOT NULL,
    updated_at ${INT} NOT NULL
)${TABLE};

CREATE TABLE evalq_workers (
    id         ${KEY64}    NOT NULL PRIMARY KEY,
    host       ${TEXT}    NOT NULL,
    pid        ${INT} NOT NULL,
    build      ${TEXT}    NOT NULL,
    slots      ${INT} NOT NULL,
    started_at ${INT} NOT NULL,
    beat_at    ${INT} NOT NULL,
    draining   ${INT} NOT NULL DEFAULT 0,
    ended_at   ${INT} NOT NULL DEFAULT 0
)${TABLE};

CREATE TABLE evalq_queues (
    name   ${KEY191}    NOT NULL PRIMARY KEY,
    paused ${INT} NOT NULL DEFAULT 0
)${TABLE};

CREATE TABLE evalq_audit (
    seq    ${SERIAL},
    at     ${INT} NOT NULL,
    who    ${TEXT}    NOT NULL,
    action ${TEXT}    NOT NULL,
    target ${TEXT}    NOT NULL,
    detail ${TEXT}    NOT NULL,
    remote ${TEXT}    NOT NULL
)${TABLE};

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
