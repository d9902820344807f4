-- Steps an output is not done with though later ones were told: its script failed on it, or it asked for something that has no room to wait.
CREATE TABLE delivery_kept (
    name TEXT NOT NULL,
    step INTEGER NOT NULL,
    why  INTEGER NOT NULL CHECK (why IN (0, 1)),  -- its script failed, it waits for its turn
    PRIMARY KEY (name, step)
) STRICT, WITHOUT ROWID;
-- Of a request that an older program takes for given up: 1, its script asks for it no longer (should it do so again, the request waits again);
-- 2, it has no room to wait, and its step is kept.
ALTER TABLE delivery_requests ADD COLUMN unasked INTEGER NOT NULL DEFAULT 0 CHECK (unasked IN (0, 1, 2));
CREATE INDEX delivery_requests_owed ON delivery_requests (name, target, step) WHERE unasked = 2;
