-- Flows run by themselves: what people said about when, and what the scheduler has to remember between two processes.
CREATE TABLE schedule (
    tenant TEXT NOT NULL,
    flow TEXT NOT NULL,
    paused_at_ms BIGINT NOT NULL,    -- when a person paused the flow, 0 while it runs by itself
    asked_at_ms BIGINT NOT NULL,     -- somebody asked for a run that has not begun yet, 0 if nobody did
    refused_at_ms BIGINT NOT NULL,   -- a run found that its approval does not hold; only a later approval does
    debug_until_ms BIGINT NOT NULL,  -- debug mode ends by itself at this moment
    PRIMARY KEY (tenant, flow)
) STRICT;
