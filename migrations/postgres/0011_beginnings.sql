-- A budget begins with what usage has of its period, so that one that is set in
-- the middle of a month knows what was spent before. The days of a month are
-- named one by one, because rows of usage are found by their day.
CREATE OR REPLACE FUNCTION make_reservation() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO budgets (app, grant_id, period, reserved, spent, lost, told)
        SELECT NEW.app, '' COLLATE "C", NEW.month, 0, (
            SELECT COALESCE(SUM(cost), 0) FROM usage WHERE app = NEW.app AND day IN (
                SELECT NEW.month * 100 + d FROM generate_series(1, 31) AS d)), 0, 0
            WHERE NOT EXISTS (SELECT FROM budgets WHERE app = NEW.app AND grant_id = '' AND period = NEW.month)
        UNION ALL SELECT NEW.app, '' COLLATE "C", NEW.day, 0, (
            SELECT COALESCE(SUM(cost), 0) FROM usage WHERE app = NEW.app AND day = NEW.day), 0, 0
            WHERE NOT EXISTS (SELECT FROM budgets WHERE app = NEW.app AND grant_id = '' AND period = NEW.day)
        UNION ALL SELECT NEW.app, NEW.grant_id, NEW.month, 0, (
            SELECT COALESCE(SUM(cost), 0) FROM usage WHERE app = NEW.app AND grant_id = NEW.grant_id AND day IN (
                SELECT NEW.month * 100 + d FROM generate_series(1, 31) AS d)), 0, 0
            WHERE NEW.grant_id <> '' AND NOT EXISTS (SELECT FROM budgets WHERE app = NEW.app AND grant_id = NEW.grant_id
                AND period = NEW.month)
        UNION ALL SELECT NEW.app, NEW.grant_id, NEW.day, 0, (
            SELECT COALESCE(SUM(cost), 0) FROM usage WHERE app = NEW.app AND grant_id = NEW.grant_id AND day = NEW.day), 0, 0
            WHERE NEW.grant_id <> '' AND NOT EXISTS (SELECT FROM budgets WHERE app = NEW.app AND grant_id = NEW.grant_id
                AND period = NEW.day)
        ORDER BY 2, 3 ON CONFLICT DO NOTHING;
    PERFORM FROM budgets WHERE app = NEW.app AND grant_id IN ('', NEW.grant_id) AND period IN (NEW.day, NEW.month)
        ORDER BY grant_id, period FOR UPDATE;
    IF EXISTS (SELECT FROM budgets AS b WHERE b.app = NEW.app AND b.grant_id IN ('', NEW.grant_id) AND b.period IN (NEW.day, NEW.month)
        AND (CASE WHEN b.grant_id = '' AND b.period = NEW.day THEN NEW.app_day WHEN b.grant_id = '' THEN NEW.app_month
            WHEN b.period = NEW.day THEN NEW.grant_day ELSE NEW.grant_month END) > 0
        AND b.spent + b.reserved + NEW.cost > (CASE WHEN b.grant_id = '' AND b.period = NEW.day THEN NEW.app_day WHEN b.grant_id = '' THEN NEW.app_month
            WHEN b.period = NEW.day THEN NEW.grant_day ELSE NEW.grant_month END)
        AND (b.reserved > 0 OR b.spent + NEW.least > (CASE WHEN b.grant_id = '' AND b.period = NEW.day THEN NEW.app_day WHEN b.grant_id = '' THEN NEW.app_month
            WHEN b.period = NEW.day THEN NEW.grant_day ELSE NEW.grant_month END))) THEN
        RETURN NULL;
    END IF;
    UPDATE budgets SET reserved = reserved + NEW.cost
        WHERE app = NEW.app AND grant_id IN ('', NEW.grant_id) AND period IN (NEW.day, NEW.month);
    RETURN NEW;
END
$$;
