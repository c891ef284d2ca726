-- What a preview would do, value by value and record by record: what a person approves is what was listed.
CREATE TABLE listing (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    flow TEXT NOT NULL,
    preview BIGINT NOT NULL,         -- the run that made it
    pair BIGINT NOT NULL,
    kind TEXT NOT NULL,              -- linked, created, filled, replaced, or the kind of an outcome
    side TEXT NOT NULL CHECK (side IN ('left', 'right', '')), -- the side that would be written, '' for neither
    left_id TEXT NOT NULL,
    right_id TEXT NOT NULL,
    field TEXT NOT NULL,             -- mapping row, '' for the whole record
    label TEXT NOT NULL,             -- what people call the field
    before TEXT NOT NULL,            -- as people read it
    after TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    at_ms BIGINT NOT NULL
) STRICT;
CREATE INDEX listing_by_kind ON listing (tenant, flow, preview, kind, id);
CREATE INDEX listing_by_record ON listing (tenant, flow, preview, pair, left_id, field);
