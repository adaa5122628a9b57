-- What a key may do besides, how pages hold a session, and who runs a Perch. A
-- version from before these columns would let a key do what it may not, so it
-- does not start with them. One that runs goes on: stop it before keys are
-- narrowed, tokens bound and cookies given out.
ALTER TABLE applications ADD COLUMN cookies BIGINT NOT NULL DEFAULT 0;
ALTER TABLE applications ADD COLUMN dpop BIGINT NOT NULL DEFAULT 0;

-- Replicas of the version before, while they run, see the first of the grants.
ALTER TABLE api_keys ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN grants TEXT NOT NULL DEFAULT '[]';
ALTER TABLE api_keys ADD COLUMN actions TEXT NOT NULL DEFAULT '[]';
ALTER TABLE api_keys ADD COLUMN addresses TEXT NOT NULL DEFAULT '[]';
UPDATE api_keys SET grants = '["' || grant_id || '"]' WHERE grant_id <> '';

ALTER TABLE sessions ADD COLUMN jkt TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN cookie BIGINT NOT NULL DEFAULT 0;
ALTER TABLE codes ADD COLUMN jkt TEXT NOT NULL DEFAULT '';
ALTER TABLE authorizations ADD COLUMN jkt TEXT NOT NULL DEFAULT '';
ALTER TABLE authorizations ADD COLUMN mode TEXT NOT NULL DEFAULT '';
ALTER TABLE authorizations ADD COLUMN extends TEXT NOT NULL DEFAULT '';
ALTER TABLE authorizations ADD COLUMN session_id TEXT NOT NULL DEFAULT '';

CREATE TABLE operators (
    id            TEXT   NOT NULL PRIMARY KEY,
    name          TEXT   NOT NULL,
    role          TEXT   NOT NULL,
    hint          TEXT   NOT NULL,
    digest        TEXT   NOT NULL,
    created       BIGINT NOT NULL,
    expires       BIGINT NOT NULL,
    revoked       BIGINT NOT NULL,
    version       BIGINT NOT NULL
);
CREATE UNIQUE INDEX operators_digest ON operators (digest);

-- When credentials were last used. It is apart from them: a use is no change.
CREATE TABLE uses (
    id            TEXT   NOT NULL PRIMARY KEY,
    used          BIGINT NOT NULL
);

CREATE TRIGGER sessions_altered AFTER UPDATE ON sessions WHEN OLD.revoked <> NEW.revoked OR OLD.scopes <> NEW.scopes
BEGIN
    INSERT INTO changes (kind, number) VALUES ('sessions', 1) ON CONFLICT (kind) DO UPDATE SET number = number + 1;
END;
DROP TRIGGER sessions_ended;
