-- Columns are TEXT and BIGINT alone. Times are microseconds since 1970 in UTC,
-- with 0 for none; lists are JSON; boxes are sealed before they come here.
-- What things are known by sorts by bytes, whatever language the database speaks.

CREATE TABLE grants (
    id            TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    app           TEXT   COLLATE "C" NOT NULL,
    xapp          TEXT   COLLATE "C" NOT NULL,
    user_id       TEXT   COLLATE "C" NOT NULL,
    username      TEXT   NOT NULL,
    display_name  TEXT   NOT NULL,
    scopes        TEXT   NOT NULL,
    state         TEXT   NOT NULL,
    access_box    TEXT   NOT NULL,
    refresh_box   TEXT   NOT NULL,
    expires       BIGINT NOT NULL,
    generation    BIGINT NOT NULL,
    failures      BIGINT NOT NULL,
    retry         BIGINT NOT NULL,
    lease_holder  TEXT   NOT NULL,
    lease_until   BIGINT NOT NULL,
    created       BIGINT NOT NULL,
    updated       BIGINT NOT NULL,
    version       BIGINT NOT NULL
);
CREATE UNIQUE INDEX grants_owner ON grants (app, xapp, user_id);
CREATE INDEX grants_app ON grants (app, id);

CREATE TABLE applications (
    id            TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    name          TEXT   NOT NULL,
    xapp          TEXT   COLLATE "C" NOT NULL,
    status        TEXT   NOT NULL,
    origins       TEXT   NOT NULL,
    redirect_uris TEXT   NOT NULL,
    actions       TEXT   NOT NULL,
    scopes        TEXT   NOT NULL,
    created       BIGINT NOT NULL,
    version       BIGINT NOT NULL
);

CREATE TABLE api_keys (
    id            TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    app           TEXT   COLLATE "C" NOT NULL,
    kind          TEXT   NOT NULL,
    hint          TEXT   NOT NULL,
    digest        TEXT   COLLATE "C" NOT NULL,
    grant_id      TEXT   COLLATE "C" NOT NULL,
    app_only      BIGINT NOT NULL,
    created       BIGINT NOT NULL,
    expires       BIGINT NOT NULL,
    revoked       BIGINT NOT NULL,
    version       BIGINT NOT NULL
);
CREATE UNIQUE INDEX api_keys_digest ON api_keys (digest);
CREATE INDEX api_keys_app ON api_keys (app, id);

CREATE TABLE xapps (
    id             TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    name           TEXT   NOT NULL,
    client_id      TEXT   NOT NULL,
    client_secret  TEXT   NOT NULL,
    bearer         TEXT   NOT NULL,
    api_key        TEXT   NOT NULL,
    api_secret     TEXT   NOT NULL,
    created        BIGINT NOT NULL,
    version        BIGINT NOT NULL
);

CREATE TABLE authorizations (
    id            TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    verifier      TEXT   NOT NULL,
    browser       TEXT   NOT NULL,
    xapp          TEXT   COLLATE "C" NOT NULL,
    expires       BIGINT NOT NULL,
    app           TEXT   COLLATE "C" NOT NULL,
    redirect      TEXT   NOT NULL,
    client_state  TEXT   NOT NULL,
    challenge     TEXT   NOT NULL,
    scopes        TEXT   NOT NULL
);
CREATE INDEX authorizations_expires ON authorizations (expires);

CREATE TABLE codes (
    digest        TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    app           TEXT   COLLATE "C" NOT NULL,
    redirect      TEXT   NOT NULL,
    challenge     TEXT   NOT NULL,
    grant_id      TEXT   COLLATE "C" NOT NULL,
    user_id       TEXT   COLLATE "C" NOT NULL,
    scopes        TEXT   NOT NULL,
    session_id    TEXT   COLLATE "C" NOT NULL,
    expires       BIGINT NOT NULL,
    taken         BIGINT NOT NULL
);
CREATE INDEX codes_expires ON codes (expires);

CREATE TABLE sessions (
    id            TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    app           TEXT   COLLATE "C" NOT NULL,
    grant_id      TEXT   COLLATE "C" NOT NULL,
    user_id       TEXT   COLLATE "C" NOT NULL,
    scopes        TEXT   NOT NULL,
    current       TEXT   NOT NULL,
    previous      TEXT   NOT NULL,
    expires       BIGINT NOT NULL,
    revoked       BIGINT NOT NULL,
    created       BIGINT NOT NULL,
    version       BIGINT NOT NULL
);
CREATE INDEX sessions_grant ON sessions (grant_id);
CREATE INDEX sessions_expires ON sessions (expires);

-- Keys are numbered as they are added: of replicas that add one at once, the
-- same number lets one succeed.
CREATE TABLE signing_keys (
    id            TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    number        BIGINT NOT NULL UNIQUE,
    private_box   TEXT   NOT NULL,
    created       BIGINT NOT NULL,
    retires       BIGINT NOT NULL
);

-- One row for each key and limit; span is the limit's window in microseconds.
CREATE TABLE quotas (
    subject       TEXT   COLLATE "C" NOT NULL,
    maximum       BIGINT NOT NULL,
    span          BIGINT NOT NULL,
    used          BIGINT NOT NULL,
    resets        BIGINT NOT NULL,
    PRIMARY KEY (subject, maximum, span)
);
CREATE INDEX quotas_resets ON quotas (resets);
