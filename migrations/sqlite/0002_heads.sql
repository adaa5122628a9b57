-- The newest version of each record whose home is elsewhere and may be late to
-- show it, as in Workers KV. No row is ever deleted.
CREATE TABLE heads (
    id            TEXT   NOT NULL PRIMARY KEY,
    version       BIGINT NOT NULL,
    body          TEXT   NOT NULL,
    unsettled     BIGINT NOT NULL
);
CREATE INDEX heads_unsettled ON heads (unsettled, id);
