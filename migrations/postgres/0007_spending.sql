-- What each budget has spent, and what is set aside for calls under way. The
-- budget of an application has no grant. A period is a UTC day, as 20261126, or
-- a UTC month, as 202611. An alert was told at so many percent, of a budget of
-- that size.
CREATE TABLE budgets (
    app           TEXT   COLLATE "C" NOT NULL,
    grant_id      TEXT   COLLATE "C" NOT NULL,
    period        BIGINT NOT NULL,
    reserved      BIGINT NOT NULL,
    spent         BIGINT NOT NULL,
    lost          BIGINT NOT NULL,
    told          BIGINT NOT NULL,
    told_for      BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (app, grant_id, period)
);
CREATE INDEX budgets_period ON budgets (period);

-- What a call may cost at most, until it has ended. State 0 is under way, 1
-- settled, 2 expired.
CREATE TABLE reservations (
    id            TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    app           TEXT   COLLATE "C" NOT NULL,
    grant_id      TEXT   COLLATE "C" NOT NULL,
    day           BIGINT NOT NULL,
    month         BIGINT NOT NULL,
    cost          BIGINT NOT NULL,
    least         BIGINT NOT NULL,
    app_day       BIGINT NOT NULL,
    app_month     BIGINT NOT NULL,
    grant_day     BIGINT NOT NULL,
    grant_month   BIGINT NOT NULL,
    expires       BIGINT NOT NULL,
    state         BIGINT NOT NULL,
    paid          BIGINT NOT NULL
);
CREATE INDEX reservations_expires ON reservations (state, expires);

-- What calls came to, by who has counted them.
CREATE TABLE usage (
    day           BIGINT NOT NULL,
    app           TEXT   COLLATE "C" NOT NULL,
    grant_id      TEXT   COLLATE "C" NOT NULL,
    action        TEXT   COLLATE "C" NOT NULL,
    writer        TEXT   COLLATE "C" NOT NULL,
    calls         BIGINT NOT NULL,
    resources     BIGINT NOT NULL,
    cost          BIGINT NOT NULL,
    unsure        BIGINT NOT NULL,
    includes      BIGINT NOT NULL,
    hits          BIGINT NOT NULL,
    saved         BIGINT NOT NULL,
    PRIMARY KEY (day, app, grant_id, action, writer)
);

-- What X has billed to an X App on a day, and for which call.
CREATE TABLE billed (
    xapp          TEXT   COLLATE "C" NOT NULL,
    day           BIGINT NOT NULL,
    kind          TEXT   COLLATE "C" NOT NULL,
    id            TEXT   COLLATE "C" NOT NULL,
    call          TEXT   COLLATE "C" NOT NULL,
    PRIMARY KEY (xapp, day, kind, id)
);
CREATE INDEX billed_day ON billed (day);

-- A reservation is made in all of its budgets or, as no row, in none. Where what
-- it may cost at most is too much, it is made all the same if nothing else is
-- under way and what it costs at least still fits. Rows are locked in
-- one order, and looked at afterwards.
CREATE FUNCTION make_reservation() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO budgets (app, grant_id, period, reserved, spent, lost, told)
        SELECT NEW.app, v.g, v.p, 0, 0, 0, 0 FROM (VALUES
            ('' COLLATE "C", NEW.day), ('', NEW.month), (NEW.grant_id, NEW.day), (NEW.grant_id, NEW.month)) AS v (g, p)
        GROUP BY v.g, v.p ORDER BY v.g, v.p ON CONFLICT DO NOTHING;
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
CREATE TRIGGER reservations_made BEFORE INSERT ON reservations FOR EACH ROW EXECUTE FUNCTION make_reservation();

-- What a call has paid takes the place of what was set aside for it. One that has
-- expired may still be settled.
CREATE FUNCTION end_reservation() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM FROM budgets WHERE app = OLD.app AND grant_id IN ('', OLD.grant_id) AND period IN (OLD.day, OLD.month)
        ORDER BY grant_id, period FOR UPDATE;
    UPDATE budgets SET
        reserved = reserved - (CASE WHEN OLD.state = 0 THEN OLD.cost ELSE 0 END),
        spent = spent + NEW.paid - OLD.paid,
        lost = lost + (CASE WHEN NEW.state = 2 THEN NEW.paid ELSE 0 END) - (CASE WHEN OLD.state = 2 THEN OLD.paid ELSE 0 END)
        WHERE app = OLD.app AND grant_id IN ('', OLD.grant_id) AND period IN (OLD.day, OLD.month);
    RETURN NULL;
END
$$;
CREATE TRIGGER reservations_ended AFTER UPDATE OF state ON reservations FOR EACH ROW EXECUTE FUNCTION end_reservation();
