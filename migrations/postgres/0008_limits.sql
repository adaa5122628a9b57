-- How often a client application may call and what its calls may cost, and whose
-- keys' calls go behind those of others. A budget is in millionths of a US
-- dollar; 0 is none. A version from before these columns keeps what is in them
-- and does not go by it.
ALTER TABLE applications ADD COLUMN limits TEXT NOT NULL DEFAULT '[]';
ALTER TABLE applications ADD COLUMN budget_day BIGINT NOT NULL DEFAULT 0;
ALTER TABLE applications ADD COLUMN budget_month BIGINT NOT NULL DEFAULT 0;
ALTER TABLE applications ADD COLUMN grant_budget_day BIGINT NOT NULL DEFAULT 0;
ALTER TABLE applications ADD COLUMN grant_budget_month BIGINT NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN batch BIGINT NOT NULL DEFAULT 0;
