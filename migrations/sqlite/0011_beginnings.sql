-- A budget begins with what usage has of its period, so that one that is set in
-- the middle of a month knows what was spent before. The days of a month are
-- named one by one, because rows of usage are found by their day.
DROP TRIGGER reservations_made;
CREATE TRIGGER reservations_made BEFORE INSERT ON reservations
BEGIN
    INSERT INTO budgets (app, grant_id, period, reserved, spent, lost, told)
        SELECT NEW.app, '', NEW.month, 0, (
            SELECT COALESCE(SUM(cost), 0) FROM usage WHERE app = NEW.app AND day IN (
                SELECT NEW.month * 100 + column1 FROM (VALUES
                (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12), (13), (14), (15), (16),
                (17), (18), (19), (20), (21), (22), (23), (24), (25), (26), (27), (28), (29), (30), (31)))), 0, 0
            WHERE NOT EXISTS (SELECT 1 FROM budgets WHERE app = NEW.app AND grant_id = '' AND period = NEW.month)
        UNION ALL SELECT NEW.app, '', NEW.day, 0, (
            SELECT COALESCE(SUM(cost), 0) FROM usage WHERE app = NEW.app AND day = NEW.day), 0, 0
            WHERE NOT EXISTS (SELECT 1 FROM budgets WHERE app = NEW.app AND grant_id = '' AND period = NEW.day)
        UNION ALL SELECT NEW.app, NEW.grant_id, NEW.month, 0, (
            SELECT COALESCE(SUM(cost), 0) FROM usage WHERE app = NEW.app AND grant_id = NEW.grant_id AND day IN (
                SELECT NEW.month * 100 + column1 FROM (VALUES
                (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12), (13), (14), (15), (16),
                (17), (18), (19), (20), (21), (22), (23), (24), (25), (26), (27), (28), (29), (30), (31)))), 0, 0
            WHERE NEW.grant_id <> '' AND NOT EXISTS (SELECT 1 FROM budgets WHERE app = NEW.app AND grant_id = NEW.grant_id
                AND period = NEW.month)
        UNION ALL SELECT NEW.app, NEW.grant_id, NEW.day, 0, (
            SELECT COALESCE(SUM(cost), 0) FROM usage WHERE app = NEW.app AND grant_id = NEW.grant_id AND day = NEW.day), 0, 0
            WHERE NEW.grant_id <> '' AND NOT EXISTS (SELECT 1 FROM budgets WHERE app = NEW.app AND grant_id = NEW.grant_id
                AND period = NEW.day)
        ON CONFLICT DO NOTHING;
    SELECT RAISE(IGNORE) FROM budgets AS b WHERE b.app = NEW.app AND b.grant_id IN ('', NEW.grant_id) AND b.period IN (NEW.day, NEW.month)
        AND (CASE WHEN b.grant_id = '' AND b.period = NEW.day THEN NEW.app_day WHEN b.grant_id = '' THEN NEW.app_month
            WHEN b.period = NEW.day THEN NEW.grant_day ELSE NEW.grant_month END) > 0
        AND b.spent + b.reserved + NEW.cost > (CASE WHEN b.grant_id = '' AND b.period = NEW.day THEN NEW.app_day WHEN b.grant_id = '' THEN NEW.app_month
            WHEN b.period = NEW.day THEN NEW.grant_day ELSE NEW.grant_month END)
        AND (b.reserved > 0 OR b.spent + NEW.least > (CASE WHEN b.grant_id = '' AND b.period = NEW.day THEN NEW.app_day WHEN b.grant_id = '' THEN NEW.app_month
            WHEN b.period = NEW.day THEN NEW.grant_day ELSE NEW.grant_month END));
    UPDATE budgets SET reserved = reserved + NEW.cost
        WHERE app = NEW.app AND grant_id IN ('', NEW.grant_id) AND period IN (NEW.day, NEW.month);
END;
