-- What is known of calls with an idempotency key: whether X was asked, and what
-- it answered.
CREATE TABLE replies (
    scope         TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    attempt       TEXT   NOT NULL,
    fingerprint   TEXT   NOT NULL,
    action        TEXT   NOT NULL,
    state         TEXT   NOT NULL,
    status        BIGINT NOT NULL,
    request       TEXT   NOT NULL,
    reply         TEXT   NOT NULL,
    created       BIGINT NOT NULL,
    sent          BIGINT NOT NULL,
    lease         BIGINT NOT NULL,
    kept_until    BIGINT NOT NULL
);
CREATE INDEX replies_until ON replies (kept_until);
