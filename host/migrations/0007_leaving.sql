-- Deletes travel: writes about records that left, why they left, marks of ours, and what the safety stop holds.
ALTER TABLE intent ADD COLUMN leaving TEXT NOT NULL DEFAULT '' CHECK (leaving IN ('', 'mark', 'unmark', 'delete')); -- an update that is more than one
ALTER TABLE link ADD COLUMN removed_why TEXT NOT NULL DEFAULT ''; -- why a record is away; 'both' when the other one came back alone
ALTER TABLE link ADD COLUMN marked TEXT NOT NULL DEFAULT '';      -- JSON: the marked side, and what its field showed before; '' without a mark
CREATE TABLE held_removals (
    tenant TEXT NOT NULL,
    pair BIGINT NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('left', 'right')),
    removed BIGINT NOT NULL,         -- records of this side that left and wait for consent
    known BIGINT NOT NULL,           -- of so many
    held_at_ms BIGINT NOT NULL,
    consented BIGINT NOT NULL,       -- count that people consented to, 0 without consent
    consented_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, pair, side)
) STRICT;
