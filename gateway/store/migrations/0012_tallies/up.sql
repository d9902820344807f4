-- What this box told the ledger of how updates ended: the newest tally of each release, and what all boxes counted of it.
CREATE TABLE tallies (
    release       BLOB PRIMARY KEY,
    confirmed     INTEGER NOT NULL,
    failed        INTEGER NOT NULL,
    leaf_hash     BLOB NOT NULL,
    leaf          BLOB NOT NULL,   -- the signed transaction
    made_at       INTEGER NOT NULL,
    state         INTEGER NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 2), -- as of acts: waiting, in the ledger, refused
    all_confirmed INTEGER,         -- over all boxes, by the ledger's word; none before it has said
    all_failed    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX tallies_by_leaf ON tallies (leaf_hash);
