-- SQLite writes a changed row where it was; there is nothing to do.
SELECT 1;
