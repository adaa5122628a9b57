-- A refresh writes a grant twice. With room on its page the new row stays there,
-- and no index has to learn of it.
ALTER TABLE grants SET (fillfactor = 70);
