-- +goose Up

-- Each index costs on every insert and every move of a job. Few jobs are chores
-- or wait for a time; MySQL keeps the whole indexes.
${IN sqlite,postgres DROP INDEX evalq_jobs_chore;}
${IN sqlite,postgres CREATE INDEX evalq_jobs_chore ON evalq_jobs (seq) WHERE chore = 1;}
${IN sqlite,postgres DROP INDEX evalq_jobs_due;}
${IN sqlite,postgres CREATE INDEX evalq_jobs_due ON evalq_jobs (state, due_at) WHERE due_at > 0;}

-- Accepted jobs are found by what the relay looks for, and PostgreSQL knows how
-- many there are.
${IN postgres DROP INDEX evalq_jobs_state;}
${IN postgres CREATE INDEX evalq_jobs_state ON evalq_jobs (state, seq) WHERE state <> 'accepted';}

-- With the report in front the key of a job also finds all jobs of a report.
-- SQLite cannot part with the key of a table. MySQL does each statement for good,
-- so there it is one.
${IN postgres ALTER TABLE evalq_jobs DROP CONSTRAINT evalq_jobs_kind_user_id_report_id_revision_key;}
${IN postgres CREATE UNIQUE INDEX evalq_jobs_natural ON evalq_jobs (report_id, user_id, kind, revision);}
${IN postgres DROP INDEX evalq_jobs_report;}
${IN mysql ALTER TABLE evalq_jobs ADD UNIQUE INDEX evalq_jobs_natural (report_id, user_id, kind, revision), DROP INDEX kind, DROP INDEX evalq_jobs_report;}

-- +goose Down
${IN mysql ALTER TABLE evalq_jobs ADD UNIQUE INDEX kind (kind, user_id, report_id, revision), ADD INDEX evalq_jobs_report (report_id, user_id), DROP INDEX evalq_jobs_natural;}
${IN postgres CREATE INDEX evalq_jobs_report ON evalq_jobs (report_id, user_id);}
${IN postgres DROP INDEX evalq_jobs_natural;}
${IN postgres ALTER TABLE evalq_jobs ADD UNIQUE (kind, user_id, report_id, revision);}
${IN postgres DROP INDEX evalq_jobs_state;}
${IN postgres CREATE INDEX evalq_jobs_state ON evalq_jobs (state, seq);}
${IN sqlite,postgres DROP INDEX evalq_jobs_due;}
${IN sqlite,postgres CREATE INDEX evalq_jobs_due ON evalq_jobs (state, due_at);}
${IN sqlite,postgres DROP INDEX evalq_jobs_chore;}
${IN sqlite,postgres CREATE INDEX evalq_jobs_chore ON evalq_jobs (chore, seq);}
