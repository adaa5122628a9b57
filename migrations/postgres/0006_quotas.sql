-- X's windows are counted beside ours. They are rows whose maximum and span are
-- -1: noted is the maximum that X said, -1 for none; guessed is 1 while X has not
-- said when the window ends. gave is what the last charge of a row was given.
ALTER TABLE quotas ADD COLUMN noted BIGINT NOT NULL DEFAULT -1;
ALTER TABLE quotas ADD COLUMN guessed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE quotas ADD COLUMN gave BIGINT NOT NULL DEFAULT 0;

-- Ended windows of ours are removed at once, X's only after a day: each kind has
-- an order of its own.
CREATE INDEX quotas_ours ON quotas (resets) WHERE span >= 0;
CREATE INDEX quotas_theirs ON quotas (resets) WHERE span < 0;
DROP INDEX quotas_resets;
