-- Calls that are performed later. Those of one line are sent one after the
-- other, by their seq; ended is 0 while one waits or is being sent.
CREATE TABLE deliveries (
    id            TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    app           TEXT   COLLATE "C" NOT NULL,
    grant_id      TEXT   COLLATE "C" NOT NULL,
    line          TEXT   COLLATE "C" NOT NULL,
    seq           BIGINT NOT NULL,
    actor         TEXT   NOT NULL,
    action        TEXT   NOT NULL,
    idem_key      TEXT   COLLATE "C" NOT NULL,
    call_box      TEXT   NOT NULL,
    created       BIGINT NOT NULL,
    until         BIGINT NOT NULL,
    state         TEXT   NOT NULL,
    attempts      BIGINT NOT NULL,
    next_try      BIGINT NOT NULL,
    doubt         BIGINT NOT NULL,
    status        BIGINT NOT NULL,
    problem       TEXT   NOT NULL,
    detail        TEXT   NOT NULL,
    reply_type    TEXT   NOT NULL,
    reply_box     TEXT   NOT NULL,
    ended         BIGINT NOT NULL,
    lease_holder  TEXT   NOT NULL,
    lease_until   BIGINT NOT NULL,
    version       BIGINT NOT NULL
);
CREATE UNIQUE INDEX deliveries_line ON deliveries (line, seq);
CREATE UNIQUE INDEX deliveries_key ON deliveries (line, idem_key);
CREATE INDEX deliveries_waiting ON deliveries (line, seq) WHERE ended = 0;
CREATE INDEX deliveries_due ON deliveries (next_try) WHERE ended = 0;
CREATE INDEX deliveries_app ON deliveries (app, id);
CREATE INDEX deliveries_ended ON deliveries (ended);
