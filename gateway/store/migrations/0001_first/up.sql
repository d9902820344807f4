-- The first schema. Times are microseconds since 1970. What could tell of anybody's health is in columns called
-- `sealed_body`: encrypted under the root key, bound to its table and row (see README.md, "Sealed rows").

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Rises with every change of the named thing, by whatever process. The gateway polls it.
CREATE TABLE revisions (
    name     TEXT PRIMARY KEY,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO revisions VALUES ('devices', 0), ('assignments', 0), ('athletes', 0), ('users', 0);

-- The journal: one row a group commit. Ids rise by one and are never reused.
CREATE TABLE journal (
    id          INTEGER PRIMARY KEY,
    newest      INTEGER NOT NULL, -- latest gateway time in the row
    entries     INTEGER NOT NULL,
    sealed_body BLOB NOT NULL
) STRICT;

-- One row. Rows up to sealed_up_to are in a block; ids up to used_up_to have been given out and deleted again.
CREATE TABLE journal_state (
    one                 INTEGER PRIMARY KEY CHECK (one = 1),
    sealed_up_to        INTEGER NOT NULL,
    used_up_to          INTEGER NOT NULL,
    alerts_sealed_up_to INTEGER NOT NULL
) STRICT;
INSERT INTO journal_state VALUES (1, 0, 0, 0);

-- Rows that no longer open: kept as they are, out of the way, for whoever asks what happened.
CREATE TABLE journal_damaged (
    id          INTEGER PRIMARY KEY,
    newest      INTEGER NOT NULL,
    entries     INTEGER NOT NULL,
    sealed_body BLOB NOT NULL
) STRICT;

-- Which message numbers of a device are durable, as of journal row sealed_up_to. Later ones are in the journal.
CREATE TABLE marks (
    device   TEXT NOT NULL,
    epoch    INTEGER NOT NULL,
    used     INTEGER NOT NULL, -- order of use: the least lately used epochs of a device are forgotten
    highest  INTEGER NOT NULL,
    complete INTEGER NOT NULL, -- 1: every number below the window is durable
    durable  BLOB NOT NULL,    -- 1,024 bits
    PRIMARY KEY (device, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE blocks (
    incarnation   INTEGER NOT NULL,
    block_index   INTEGER NOT NULL,
    hash          BLOB NOT NULL UNIQUE,
    sealed_at     INTEGER NOT NULL,
    rows_up_to    INTEGER NOT NULL,
    readings      INTEGER NOT NULL,
    payload_bytes INTEGER NOT NULL,
    level         INTEGER NOT NULL DEFAULT 0, -- highest receipt level: 0 is durable here
    header        BLOB NOT NULL,
    PRIMARY KEY (incarnation, block_index)
) STRICT, WITHOUT ROWID;
-- Small: holds only what is still to be sent.
CREATE INDEX blocks_below_r1 ON blocks (incarnation, block_index, payload_bytes, sealed_at) WHERE level < 1;
CREATE INDEX blocks_by_level ON blocks (level, incarnation, block_index);

-- Apart from the headers, so that a receipt does not rewrite a megabyte.
CREATE TABLE block_payloads (
    incarnation INTEGER NOT NULL,
    block_index INTEGER NOT NULL,
    payload     BLOB NOT NULL,
    PRIMARY KEY (incarnation, block_index)
) STRICT;

CREATE TABLE receipts (
    incarnation INTEGER NOT NULL,
    block_index INTEGER NOT NULL,
    level       INTEGER NOT NULL CHECK (level BETWEEN 1 AND 3),
    received_at INTEGER NOT NULL,
    receipt     BLOB NOT NULL,
    PRIMARY KEY (incarnation, block_index, level)
) STRICT, WITHOUT ROWID;

-- One row a step in an alert's life; a step happens once.
CREATE TABLE alert_steps (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    alert       BLOB NOT NULL,
    step        INTEGER NOT NULL CHECK (step BETWEEN 0 AND 2), -- raised, acknowledged, cleared
    recorded_at INTEGER NOT NULL,
    delivered   INTEGER NOT NULL DEFAULT 0,
    sealed_body BLOB NOT NULL,
    UNIQUE (alert, step)
) STRICT;
CREATE INDEX alert_steps_undelivered ON alert_steps (id) WHERE delivered = 0;

CREATE TABLE devices (
    id           TEXT PRIMARY KEY,
    class        TEXT NOT NULL,
    secret       BLOB NOT NULL, -- wrapped by auth
    decoder      TEXT,
    filters      TEXT NOT NULL, -- one a line
    enrolled_at  INTEGER NOT NULL,
    revoked_at   INTEGER,
    p2_timestamp BLOB           -- highest handshake timestamp seen (PS/1 class P2)
) STRICT, WITHOUT ROWID;

CREATE TABLE athletes (
    id         TEXT PRIMARY KEY,
    added_at   INTEGER NOT NULL,
    generation INTEGER NOT NULL, -- of the newest key
    erased_at  INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE athlete_keys (
    athlete    TEXT NOT NULL REFERENCES athletes (id),
    generation INTEGER NOT NULL,
    wrapped    BLOB NOT NULL, -- AK under the box's KEK
    PRIMARY KEY (athlete, generation)
) STRICT, WITHOUT ROWID;

CREATE TABLE assignments (
    id        INTEGER PRIMARY KEY,
    device    TEXT NOT NULL REFERENCES devices (id),
    athlete   TEXT NOT NULL REFERENCES athletes (id),
    from_time INTEGER NOT NULL,
    to_time   INTEGER CHECK (to_time IS NULL OR to_time > from_time)
) STRICT;
CREATE INDEX assignments_by_device ON assignments (device, from_time);

-- Secure sessions of devices, opaque to us.
CREATE TABLE device_sessions (
    made    INTEGER PRIMARY KEY AUTOINCREMENT, -- order of making
    id      BLOB NOT NULL UNIQUE,
    device  TEXT NOT NULL,
    ceiling INTEGER NOT NULL, -- an unsigned 64-bit number, as SQLite's signed one
    body    BLOB NOT NULL
) STRICT;
CREATE INDEX device_sessions_by_device ON device_sessions (device, made);

CREATE TABLE users (
    name          TEXT PRIMARY KEY,
    role          TEXT NOT NULL,
    password_hash TEXT NOT NULL, -- PHC string, argon2id
    added_at      INTEGER NOT NULL,
    disabled_at   INTEGER
) STRICT, WITHOUT ROWID;

-- What was refused, for whoever asks why. Bounded: the oldest row makes room.
CREATE TABLE quarantine (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    refused_at  INTEGER NOT NULL,
    device      TEXT,
    reason      TEXT NOT NULL,
    bytes       INTEGER NOT NULL, -- as it came; the body may hold less
    sealed_body BLOB NOT NULL
) STRICT;

CREATE TRIGGER devices_added AFTER INSERT ON devices BEGIN UPDATE revisions SET revision = revision + 1 WHERE name = 'devices'; END;
CREATE TRIGGER devices_removed AFTER DELETE ON devices BEGIN UPDATE revisions SET revision = revision + 1 WHERE name = 'devices'; END;
-- Not the handshake timestamp: that changes with every handshake and concerns nobody else.
CREATE TRIGGER devices_changed AFTER UPDATE OF class, secret, decoder, filters, enrolled_at, revoked_at ON devices BEGIN UPDATE revisions SET revision = revision + 1 WHERE name = 'devices'; END;
CREATE TRIGGER athletes_added AFTER INSERT ON athletes BEGIN UPDATE revisions SET revision = revision + 1 WHERE name = 'athletes'; END;
CREATE TRIGGER athletes_changed AFTER UPDATE ON athletes BEGIN UPDATE revisions SET revision = revision + 1 WHERE name = 'athletes'; END;
CREATE TRIGGER athletes_removed AFTER DELETE ON athletes BEGIN UPDATE revisions SET revision = revision + 1 WHERE name = 'athletes'; END;
CREATE TRIGGER athlete_keys_added AFTER INSERT ON athlete_keys BEGIN UPDATE revisions SET revision = revision + 1 WHERE name = 'athletes'; END;
CREATE TRIGGER athlete_keys_removed AFTER DELETE ON athlete_keys BEGIN UPDATE revisions SET revision = revision + 1 WHERE name = 'athletes'; END;
CREATE TRIGGER assignments_added AFTER INSERT ON assignments BEGIN UPDATE revisions SET revision = revision + 1 WHERE name = 'assignments'; END;
CREATE TRIGGER assignments_changed AFTER UPDATE ON assignments BEGIN UPDATE revisions SET revision = revision + 1 WHERE name = 'assignments'; END;
CREATE TRIGGER assignments_removed AFTER DELETE ON assignments BEGIN UPDATE revisions SET revision = revision + 1 WHERE name = 'assignments'; END;
CREATE TRIGGER users_added AFTER INSERT ON users BEGIN UPDATE revisions SET revision = revision + 1 WHERE name = 'users'; END;
CREATE TRIGGER users_changed AFTER UPDATE ON users BEGIN UPDATE revisions SET revision = revision + 1 WHERE name = 'users'; END;
CREATE TRIGGER users_removed AFTER DELETE ON users BEGIN UPDATE revisions SET revision = revision + 1 WHERE name = 'users'; END;
