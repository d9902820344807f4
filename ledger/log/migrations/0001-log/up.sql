-- The index beside the tiles. Everything here but `evidence` and the signed checkpoints can be derived again from the
-- entry bundles; `fsck` does so and compares. Keys are led by gateway, and no row is written by every append but the
-- newest leaf's own: the same schema runs on PostgreSQL-compatible distributed engines.

CREATE TABLE log (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    origin   TEXT NOT NULL,
    version  INTEGER NOT NULL
) STRICT;

-- One row a leaf. `hash` is RFC 6962's leaf hash: a repeated submission is found by it.
CREATE TABLE leaf (
    place INTEGER PRIMARY KEY,
    hash  BLOB NOT NULL UNIQUE CHECK (length(hash) = 32)
) STRICT;

-- One row a block leaf.
CREATE TABLE block (
    gateway       TEXT NOT NULL,
    incarnation   INTEGER NOT NULL,
    number        INTEGER NOT NULL,
    place         INTEGER NOT NULL REFERENCES leaf (place),
    hash          BLOB NOT NULL,
    payload       BLOB NOT NULL,
    payload_bytes INTEGER NOT NULL,
    PRIMARY KEY (gateway, incarnation, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX block_number ON block (gateway, number);
CREATE INDEX block_payload ON block (gateway, payload);

-- Who may do what, after the last leaf.
CREATE TABLE member (
    name    TEXT PRIMARY KEY,
    role    INTEGER NOT NULL,
    signing BLOB NOT NULL CHECK (length(signing) = 32),
    channel BLOB NOT NULL CHECK (length(channel) = 32),
    place   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX member_channel ON member (channel);
CREATE INDEX member_signing ON member (signing);

-- What transactions have established: kind and key as `state.rs` numbers them.
CREATE TABLE fact (
    kind   INTEGER NOT NULL,
    key    BLOB NOT NULL,
    signer TEXT NOT NULL,
    value  BLOB NOT NULL,
    place  INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

-- Every checkpoint ever signed. A row stands here, durably, before the note is published.
CREATE TABLE checkpoint (
    size INTEGER PRIMARY KEY,
    root BLOB NOT NULL CHECK (length(root) = 32),
    note BLOB NOT NULL
) STRICT;

-- Validly signed headers that conflict with the log.
CREATE TABLE evidence (
    hash    BLOB PRIMARY KEY,
    gateway TEXT NOT NULL,
    entry   BLOB NOT NULL,
    code    INTEGER NOT NULL,
    stands  INTEGER,
    kept_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX evidence_gateway ON evidence (gateway);
