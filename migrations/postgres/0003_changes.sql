-- How often something of each kind was taken away, or who may do what was said
-- anew. Replicas that remember what they have read look here whether they may
-- go by it. Triggers count, so that no change can be stored uncounted, whoever
-- makes it. What takes nothing away is not counted: refreshes would wait for
-- one another here. Sessions that are swept have expired, which is no news.
CREATE TABLE changes (
    kind          TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    number        BIGINT NOT NULL
);

-- Whoever changes a table may have another search path than Perch. The
-- notification has replicas look at once; they look without it too.
CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO %I.changes AS c (kind, number) VALUES ($1, 1)
        ON CONFLICT (kind) DO UPDATE SET number = c.number + 1', TG_TABLE_SCHEMA) USING TG_TABLE_NAME::text;
    PERFORM pg_notify('perch_changes', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER grants_altered AFTER UPDATE ON grants FOR EACH ROW
WHEN ((OLD.state <> NEW.state AND 'revoked' IN (OLD.state, NEW.state))
    OR OLD.scopes <> NEW.scopes OR OLD.created <> NEW.created
    OR (OLD.generation <> NEW.generation AND OLD.lease_holder = ''))
EXECUTE FUNCTION count_change();
CREATE TRIGGER grants_deleted AFTER DELETE ON grants FOR EACH ROW EXECUTE FUNCTION count_change();
CREATE TRIGGER applications_altered AFTER UPDATE OR DELETE ON applications FOR EACH ROW EXECUTE FUNCTION count_change();
CREATE TRIGGER api_keys_altered AFTER UPDATE OR DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION count_change();
CREATE TRIGGER xapps_altered AFTER UPDATE OR DELETE ON xapps FOR EACH ROW EXECUTE FUNCTION count_change();
CREATE TRIGGER sessions_ended AFTER UPDATE ON sessions FOR EACH ROW
WHEN (OLD.revoked <> NEW.revoked) EXECUTE FUNCTION count_change();
