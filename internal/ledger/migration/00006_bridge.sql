-- +goose Up

-- What came over the bridge, a row a channel.
CREATE TABLE evalq_bridge (
    channel        ${KEY191} NOT NULL PRIMARY KEY,
    received       ${INT} NOT NULL DEFAULT 0,
    submitted      ${INT} NOT NULL DEFAULT 0,
    existing       ${INT} NOT NULL DEFAULT 0,
    resolved       ${INT} NOT NULL DEFAULT 0,
    quarantined    ${INT} NOT NULL DEFAULT 0,
    unkept         ${INT} NOT NULL DEFAULT 0,
    lost           ${INT} NOT NULL DEFAULT 0,
    gaps           ${INT} NOT NULL DEFAULT 0,
    gap_ms         ${INT} NOT NULL DEFAULT 0,
    shadow_found   ${INT} NOT NULL DEFAULT 0,
    shadow_missing ${INT} NOT NULL DEFAULT 0,
    last_at        ${INT} NOT NULL DEFAULT 0,
    gap_at         ${INT} NOT NULL DEFAULT 0,
    seen_at        ${INT} NOT NULL DEFAULT 0
)${TABLE};

-- How much of one source is open bounds what it may leave there.
CREATE INDEX evalq_quarantine_source ON evalq_quarantine (source, settled_at);

-- +goose Down
DROP INDEX evalq_quarantine_source${OF evalq_quarantine};
DROP TABLE evalq_bridge;
