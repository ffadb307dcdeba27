-- +goose Up
-- What found no room in quarantine, by source.
CREATE TABLE evalq_quarantine_dropped (
    source ${KEY63} NOT NULL PRIMARY KEY,
    things ${INT}   NOT NULL,
    at     ${INT}   NOT NULL
)${TABLE};

-- +goose Down
DROP TABLE evalq_quarantine_dropped;
