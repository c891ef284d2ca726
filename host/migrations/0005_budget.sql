-- What calls cost each connection, in hours of the day, and what operators set; what debug mode keeps; when old rows were last removed.
CREATE TABLE budget (
    tenant TEXT NOT NULL,
    connection TEXT NOT NULL,
    edition TEXT NOT NULL,           -- named by an operator, '' for what the CRM says of itself
    per_minute BIGINT NOT NULL,      -- set by an operator: 0 for none, -1 for that of the edition
    per_day BIGINT NOT NULL,
    reserve_percent BIGINT NOT NULL, -- of the day, kept for people and other programs
    full_at_us BIGINT NOT NULL,      -- when the bucket of the minute is full again
    told_left BIGINT NOT NULL,       -- what the CRM said is left of the day, -1 if it never did
    told_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, connection)
) STRICT;

CREATE TABLE usage (
    tenant TEXT NOT NULL,
    connection TEXT NOT NULL,
    hour_at_ms BIGINT NOT NULL,      -- beginning of the hour
    kind TEXT NOT NULL CHECK (kind IN ('read', 'write', 'login')),
    lane TEXT NOT NULL CHECK (lane IN ('interactive', 'background')),
    calls BIGINT NOT NULL,
    units BIGINT NOT NULL,           -- what the CRM counts: calls or credits
    PRIMARY KEY (tenant, connection, hour_at_ms, kind, lane)
) STRICT;

CREATE TABLE exchange (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    flow TEXT NOT NULL,
    connection TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    method TEXT NOT NULL,
    origin TEXT NOT NULL,
    path TEXT NOT NULL,
    parameters TEXT NOT NULL,        -- names only
    rows_written BIGINT NOT NULL,    -- 0 for a read
    status BIGINT NOT NULL,          -- 0 if no answer came
    took_ms BIGINT NOT NULL,
    sent_bytes BIGINT NOT NULL,
    answer_bytes BIGINT NOT NULL
) STRICT;
CREATE INDEX exchange_by_flow ON exchange (tenant, flow, id);

CREATE TABLE upkeep (
    tenant TEXT NOT NULL,
    task TEXT NOT NULL,
    done_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, task)
) STRICT;
