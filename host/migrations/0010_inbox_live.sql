-- New match keys are made in portions; without this order each portion sorts all rows.
CREATE INDEX inbox_live ON inbox (tenant, pair, seq) WHERE presence = 'live';
