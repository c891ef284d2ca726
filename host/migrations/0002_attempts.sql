-- Attempts outlive the intent that they were made with; a changed mapping is noticed; unlinked records are found by their time.
ALTER TABLE link ADD COLUMN attempts BIGINT NOT NULL DEFAULT 0; -- unanswered or withdrawn updates in a row
ALTER TABLE pair ADD COLUMN mapping TEXT NOT NULL DEFAULT '';   -- hash of the mapping rows that the links agree on
CREATE INDEX inbox_by_time ON inbox (tenant, pair, side, modified_at_ms);
