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
ALTER TABLE link ADD COLUMN parted BIGINT NOT NULL DEFAULT 0; -- 1: a person ended it, and a record that comes back does not open it again
