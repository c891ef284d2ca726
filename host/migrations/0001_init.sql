-- The first schema: connections, flows, links with a base for each side, inbox, outbox, journal.
-- Times are milliseconds since 1970 in UTC. JSON columns hold documents that only the owning room reads.

CREATE TABLE connection (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    plugin TEXT NOT NULL,
    settings TEXT NOT NULL,          -- JSON object of strings, nothing secret
    origins TEXT NOT NULL,           -- JSON object: origin name → URL granted by the operator
    addresses TEXT NOT NULL,         -- JSON list of address:port granted by the operator
    grant_version BIGINT NOT NULL,
    org_id TEXT NOT NULL,            -- '' until the first login
    org_name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('new', 'ready', 'logged-out')),
    checked TEXT NOT NULL,           -- JSON of the last check, '' before it
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT;

CREATE TABLE vault (
    tenant TEXT NOT NULL,
    connection TEXT NOT NULL,
    version BIGINT NOT NULL,         -- grows with each change; changed by compare-and-set
    sealed BLOB NOT NULL,
    PRIMARY KEY (tenant, connection)
) STRICT;

CREATE TABLE metadata (
    tenant TEXT NOT NULL,
    connection TEXT NOT NULL,
    topic TEXT NOT NULL,             -- modules, users, or fields/MODULE
    document TEXT NOT NULL,          -- JSON of what the CRM said
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, connection, topic)
) STRICT;

CREATE TABLE flow (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    document TEXT NOT NULL,          -- the flow file as applied, comments included
    settings_hash TEXT NOT NULL,
    previewed TEXT NOT NULL,         -- JSON of the last preview, '' if none
    approved TEXT NOT NULL,          -- JSON of the approval, '' if none
    first_sync_at_ms BIGINT NOT NULL,-- when the first sync came to its end, 0 before
    applied_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT;

CREATE TABLE lease (
    tenant TEXT NOT NULL,
    flow TEXT NOT NULL,
    holder TEXT NOT NULL,            -- '' when free
    fence BIGINT NOT NULL,           -- grows with each holder
    expires_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, flow)
) STRICT;

CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    flow TEXT NOT NULL,
    fence BIGINT NOT NULL,
    cause TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed', 'interrupted')),
    started_at_ms BIGINT NOT NULL,
    ended_at_ms BIGINT NOT NULL,
    summary TEXT NOT NULL
) STRICT;
CREATE INDEX run_by_flow ON run (tenant, flow, id);

CREATE TABLE pair (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    flow TEXT NOT NULL,
    left_module TEXT NOT NULL,
    right_module TEXT NOT NULL,
    UNIQUE (tenant, flow, left_module, right_module)
) STRICT;

CREATE TABLE cursor (
    tenant TEXT NOT NULL,
    pair BIGINT NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('left', 'right')),
    plugin TEXT NOT NULL,
    field_set TEXT NOT NULL,         -- hash of the fields that the walk reads; another one starts a new scan
    format BIGINT NOT NULL,
    data BLOB NOT NULL,
    at_head BIGINT NOT NULL,         -- 1 at the head of the stream, 0 in the middle of a walk
    head_at_ms BIGINT NOT NULL,      -- when the walk last reached its head, 0 before the first scan is complete
    swept_at_ms BIGINT NOT NULL,     -- when known ids were last looked for
    PRIMARY KEY (tenant, pair, side)
) STRICT;

CREATE TABLE inbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: a record staged anew gets a new one
    tenant TEXT NOT NULL,
    pair BIGINT NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('left', 'right')),
    record TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('staged', 'held', 'deciding')),
    presence TEXT NOT NULL,          -- live, unread, or the reason of a removal
    version TEXT NOT NULL,
    modified_at_ms BIGINT NOT NULL,
    create_key TEXT NOT NULL,        -- our key found in the record, or ''
    image TEXT NOT NULL,             -- JSON object: field → value
    UNIQUE (tenant, pair, side, record)
) STRICT;
CREATE INDEX inbox_staged ON inbox (tenant, pair, seq) WHERE state = 'staged';
CREATE INDEX inbox_by_create_key ON inbox (tenant, pair, side, create_key) WHERE create_key <> '';

CREATE TABLE match_key (
    tenant TEXT NOT NULL,
    pair BIGINT NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('left', 'right')),
    record TEXT NOT NULL,
    rule BIGINT NOT NULL,
    key TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('open', 'match', 'several')),
    PRIMARY KEY (tenant, pair, side, record, rule)
) STRICT;
CREATE INDEX match_key_by_key ON match_key (tenant, pair, rule, key, side);

CREATE TABLE pairing (
    tenant TEXT NOT NULL,
    pair BIGINT NOT NULL,
    left_id TEXT NOT NULL,
    right_id TEXT NOT NULL,
    rule BIGINT NOT NULL,
    PRIMARY KEY (tenant, pair, left_id),
    UNIQUE (tenant, pair, right_id)
) STRICT;

CREATE TABLE link (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    pair BIGINT NOT NULL,
    generation BIGINT NOT NULL,      -- grows when a link is ended and made anew
    state TEXT NOT NULL CHECK (state IN ('active', 'left-removed', 'right-removed', 'ended')),
    left_id TEXT NOT NULL,
    right_id TEXT NOT NULL,
    left_version TEXT NOT NULL,
    right_version TEXT NOT NULL,
    left_receipt TEXT NOT NULL,      -- version that the CRM gave to our last write, '' when it has been seen
    right_receipt TEXT NOT NULL,
    create_key TEXT NOT NULL,        -- key of the create that made one of the records, '' for matched ones
    bases TEXT NOT NULL,             -- JSON: row → both bases and what is owed
    linked_at_ms BIGINT NOT NULL
) STRICT;
-- I3: links are injective, by constraint.
CREATE UNIQUE INDEX link_by_left ON link (tenant, pair, left_id) WHERE state <> 'ended';
CREATE UNIQUE INDEX link_by_right ON link (tenant, pair, right_id) WHERE state <> 'ended';
CREATE INDEX link_by_create_key ON link (tenant, pair, create_key) WHERE create_key <> '';

CREATE TABLE intent (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    pair BIGINT NOT NULL,
    link BIGINT NOT NULL,            -- 0 for a create
    side TEXT NOT NULL CHECK (side IN ('left', 'right')),
    operation TEXT NOT NULL CHECK (operation IN ('create', 'update')),
    state TEXT NOT NULL CHECK (state IN ('planned', 'admitted', 'unknown', 'parked')),
    source TEXT NOT NULL,            -- the record on the other side whose values are written
    source_seq BIGINT NOT NULL,      -- the inbox row that a create stands for
    target TEXT NOT NULL,            -- the written record, '' for a create
    create_key TEXT NOT NULL,
    body TEXT NOT NULL,              -- JSON: the rows with their values, before and after
    attempts BIGINT NOT NULL,
    not_before_ms BIGINT NOT NULL,
    admitted_at_ms BIGINT NOT NULL,
    run BIGINT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX intent_by_state ON intent (tenant, pair, state, side, operation, id);
CREATE INDEX intent_by_link ON intent (tenant, pair, link) WHERE link <> 0;
CREATE UNIQUE INDEX intent_by_source ON intent (tenant, pair, side, source) WHERE operation = 'create';
CREATE UNIQUE INDEX intent_by_key ON intent (tenant, pair, create_key) WHERE create_key <> '';

CREATE TABLE outcome (
    tenant TEXT NOT NULL,
    pair BIGINT NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('left', 'right')),
    record TEXT NOT NULL,            -- of a linked pair the left record
    kind TEXT NOT NULL CHECK (kind IN ('left-out', 'waiting', 'needs-attention', 'failed', 'out-of-scope', 'removed', 'differs')),
    reason TEXT NOT NULL,
    field TEXT NOT NULL,             -- mapping row, '' for the whole record
    detail TEXT NOT NULL,
    run BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, pair, side, record, kind, reason, field)
) STRICT;

CREATE TABLE journal (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    flow TEXT NOT NULL,
    pair BIGINT NOT NULL,
    run BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    action TEXT NOT NULL,            -- linked, created, updated, conflict, removed, restored, unknown, refused
    side TEXT NOT NULL,              -- the side that was written or that the line is about, '' for both
    left_id TEXT NOT NULL,
    right_id TEXT NOT NULL,
    field TEXT NOT NULL,             -- mapping row, '' for the whole record
    before TEXT NOT NULL,            -- JSON values that were replaced, '' if none
    after TEXT NOT NULL,             -- JSON values that stand now, '' if none
    reason TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX journal_by_flow ON journal (tenant, flow, id);
CREATE INDEX journal_by_left ON journal (tenant, pair, left_id);
CREATE INDEX journal_by_right ON journal (tenant, pair, right_id);
