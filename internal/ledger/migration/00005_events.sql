-- +goose Up

-- An event is looked for by its job alone, so one key does for PostgreSQL, which
-- pays for each on every insert. The others keep a table in the order of its key.
${IN postgres ALTER TABLE evalq_events DROP CONSTRAINT evalq_events_pkey, ADD PRIMARY KEY (job_id, seq);}
${IN postgres DROP INDEX evalq_events_job;}

-- +goose Down
${IN postgres CREATE INDEX evalq_events_job ON evalq_events (job_id, seq);}
${IN postgres ALTER TABLE evalq_events DROP CONSTRAINT evalq_events_pkey, ADD PRIMARY KEY (seq);}
