-- Copies of athletes' keys, sealed to the clinic's recovery key, on their way to the ledger (which keeps them beside the
-- log, deletable) or on their way out of it. Names and bodies say nothing without the recovery key.
CREATE TABLE key_copies (
    name       BLOB PRIMARY KEY,
    athlete    TEXT,             -- none: the house's
    generation INTEGER NOT NULL,
    body       BLOB NOT NULL,
    state      INTEGER NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 2) -- to be kept, held by the ledger, to be deleted
) STRICT, WITHOUT ROWID;
-- Small: holds only what the ledger has not confirmed.
CREATE INDEX key_copies_open ON key_copies (state, name) WHERE state <> 1;
CREATE INDEX key_copies_of_athlete ON key_copies (athlete);
