-- How often something of each kind was taken away, or who may do what was said
-- anew. Replicas that remember what they have read look here whether they may
-- go by it. Triggers count, so that no change can be stored uncounted, whoever
-- makes it. What takes nothing away is not counted: refreshes would wait for
-- one another here. Sessions that are swept have expired, which is no news.
CREATE TABLE changes (
    kind          TEXT   NOT NULL PRIMARY KEY,
    number        BIGINT NOT NULL
);

CREATE TRIGGER grants_altered AFTER UPDATE ON grants
WHEN (OLD.state <> NEW.state AND 'revoked' IN (OLD.state, NEW.state))
    OR OLD.scopes <> NEW.scopes OR OLD.created <> NEW.created
    OR (OLD.generation <> NEW.generation AND OLD.lease_holder = '')
BEGIN
    INSERT INTO changes (kind, number) VALUES ('grants', 1) ON CONFLICT (kind) DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER grants_deleted AFTER DELETE ON grants
BEGIN
    INSERT INTO changes (kind, number) VALUES ('grants', 1) ON CONFLICT (kind) DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER applications_altered AFTER UPDATE ON applications
BEGIN
    INSERT INTO changes (kind, number) VALUES ('applications', 1) ON CONFLICT (kind) DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER applications_deleted AFTER DELETE ON applications
BEGIN
    INSERT INTO changes (kind, number) VALUES ('applications', 1) ON CONFLICT (kind) DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER api_keys_altered AFTER UPDATE ON api_keys
BEGIN
    INSERT INTO changes (kind, number) VALUES ('api_keys', 1) ON CONFLICT (kind) DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER api_keys_deleted AFTER DELETE ON api_keys
BEGIN
    INSERT INTO changes (kind, number) VALUES ('api_keys', 1) ON CONFLICT (kind) DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER xapps_altered AFTER UPDATE ON xapps
BEGIN
    INSERT INTO changes (kind, number) VALUES ('xapps', 1) ON CONFLICT (kind) DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER xapps_deleted AFTER DELETE ON xapps
BEGIN
    INSERT INTO changes (kind, number) VALUES ('xapps', 1) ON CONFLICT (kind) DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER sessions_ended AFTER UPDATE ON sessions WHEN OLD.revoked <> NEW.revoked
BEGIN
    INSERT INTO changes (kind, number) VALUES ('sessions', 1) ON CONFLICT (kind) DO UPDATE SET number = number + 1;
END;
