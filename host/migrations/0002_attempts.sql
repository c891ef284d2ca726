-- Attempts outlive the intent that they were made with; a changed mapping is noticed; ended links and arrivals are found by index.
ALTER TABLE link ADD COLUMN attempts BIGINT NOT NULL DEFAULT 0; -- unanswered or withdrawn updates in a row
ALTER TABLE pair ADD COLUMN mapping TEXT NOT NULL DEFAULT '';   -- hash of the mapping rows that the links agree on
CREATE INDEX link_ended_by_left ON link (tenant, pair, left_id) WHERE state = 'ended';
CREATE INDEX link_ended_by_right ON link (tenant, pair, right_id) WHERE state = 'ended';
CREATE INDEX inbox_by_time ON inbox (tenant, pair, side, modified_at_ms);
