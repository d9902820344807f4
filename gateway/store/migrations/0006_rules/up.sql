-- Rules as text, by the hash of their four files. Nothing here tells of anybody's health.
CREATE TABLE rule_texts (
    text_hash BLOB PRIMARY KEY,
    rule_hash BLOB NOT NULL,       -- of manifest and script: what it does
    name      TEXT NOT NULL,
    manifest  TEXT NOT NULL,
    script    TEXT NOT NULL,
    cases     TEXT NOT NULL,
    readme    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX rule_texts_by_rule ON rule_texts (rule_hash);
-- Published versions, numbered from 1 for each rule.
CREATE TABLE rule_versions (
    name         TEXT NOT NULL,
    number       INTEGER NOT NULL,
    text_hash    BLOB NOT NULL REFERENCES rule_texts (text_hash),
    label        TEXT NOT NULL,    -- the manifest's version
    author       TEXT NOT NULL,
    note         TEXT NOT NULL,
    published_at INTEGER NOT NULL,
    shadow       INTEGER NOT NULL CHECK (shadow IN (0, 1)), -- 1: to be watched, not put in force
    set_hash     BLOB,             -- of the rules in force with it, as the ledger was told; none without a ledger, or in the shadow
    leaf_hash    BLOB,             -- of that transaction
    PRIMARY KEY (name, number)
) STRICT, WITHOUT ROWID;
-- Which rules came into force, and when: one row a change.
CREATE TABLE rule_changes (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    set_hash BLOB NOT NULL,
    rules    BLOB NOT NULL,        -- the text hashes, by name
    engine   TEXT NOT NULL
) STRICT;
-- Rules that were switched off for their faults and that an admin wants back; the gateway takes the rows out.
CREATE TABLE rules_again (
    name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
-- What rules in the shadow said: delivered to nobody, sealed nowhere. Bounded: the oldest row makes room.
CREATE TABLE shadow_log (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    at          INTEGER NOT NULL,
    rule        TEXT NOT NULL,
    sealed_body BLOB NOT NULL
) STRICT;
CREATE INDEX shadow_log_by_rule ON shadow_log (rule, id);
