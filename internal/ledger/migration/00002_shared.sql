-- +goose Up

-- A beat that changes is a sign of life; the time of it is for people.
ALTER TABLE evalq_workers ADD COLUMN beats ${INT} NOT NULL DEFAULT 0;

-- What came in and could not be read. Nothing is in it twice.
CREATE TABLE evalq_quarantine (
    seq         ${SERIAL},
    fingerprint ${KEY64} NOT NULL UNIQUE,
    at          ${INT}   NOT NULL,
    source      ${KEY63} NOT NULL,
    queue       ${KEY191} NOT NULL,
    task_id     ${TEXT}  NOT NULL,
    reason      ${TEXT}  NOT NULL,
    body        ${BLOB}  NOT NULL,
    settled_at  ${INT}   NOT NULL DEFAULT 0,
    settled     ${TEXT}  NOT NULL DEFAULT ('')
)${TABLE};
CREATE INDEX evalq_quarantine_open ON evalq_quarantine (settled_at, seq);

-- +goose Down
DROP TABLE evalq_quarantine;
ALTER TABLE evalq_workers DROP COLUMN beats;
