-- What each sensor last said about its firmware. Nothing here tells of anybody's health.
CREATE TABLE sensor_firmware (
    device      TEXT PRIMARY KEY,
    hardware    TEXT NOT NULL,
    component   TEXT NOT NULL,
    version     TEXT NOT NULL,     -- what runs
    counter     INTEGER NOT NULL,  -- highest security counter ever said
    seen_at     INTEGER NOT NULL,
    release     BLOB,              -- offered last; none if nothing was
    target      TEXT,              -- its version
    size        INTEGER NOT NULL DEFAULT 0,
    have        INTEGER NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL DEFAULT 0, -- how often that release came to nothing here
    stage       INTEGER,           -- of the last report
    reason      INTEGER NOT NULL DEFAULT 0,
    text        TEXT NOT NULL DEFAULT '',
    reported_at INTEGER,
    held        TEXT               -- why it is not offered now; none if it is
) STRICT, WITHOUT ROWID;
-- How each update ended, one row a release and sensor: the last word counts.
CREATE TABLE firmware_outcomes (
    release   BLOB NOT NULL,
    device    TEXT NOT NULL,
    confirmed INTEGER NOT NULL CHECK (confirmed IN (0, 1)),
    reason    INTEGER NOT NULL,
    counts    INTEGER NOT NULL CHECK (counts IN (0, 1)), -- it speaks for or against the release
    at        INTEGER NOT NULL,
    PRIMARY KEY (release, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX firmware_outcomes_by_time ON firmware_outcomes (at);
-- Transactions this box has signed by itself, on their way to the ledger.
CREATE TABLE acts (
    leaf_hash BLOB PRIMARY KEY,
    about     BLOB NOT NULL,       -- the release
    leaf      BLOB NOT NULL,
    made_at   INTEGER NOT NULL,
    state     INTEGER NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 2) -- waiting, in the ledger, refused for good
) STRICT, WITHOUT ROWID;
CREATE INDEX acts_waiting ON acts (made_at) WHERE state = 0;
