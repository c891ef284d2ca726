-- What people decide about single records: some are left alone, some are new whatever their match keys say, some links were ended for good.
CREATE TABLE choice (
    tenant TEXT NOT NULL,
    pair BIGINT NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('left', 'right')),
    record TEXT NOT NULL,
    choice TEXT NOT NULL CHECK (choice IN ('left-alone', 'new')),
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, pair, side, record)
) STRICT;
-- Whose record opens an ended link again by coming back from the bin; people end links for good.
ALTER TABLE link ADD COLUMN reopened_by TEXT NOT NULL DEFAULT 'both' CHECK (reopened_by IN ('both', 'left', 'right', 'none'));
CREATE INDEX journal_by_pair ON journal (tenant, pair, id);
