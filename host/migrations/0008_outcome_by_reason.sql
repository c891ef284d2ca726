-- Each run asks for records that were left out for one reason; others may be many.
CREATE INDEX outcome_by_reason ON outcome (tenant, pair, reason);
