-- Plugins that were installed: signed packages, what they may do, who may sign them, what became of them. Packages are public text.
CREATE TABLE plugin_packages (
    sha256       BLOB PRIMARY KEY CHECK (length(sha256) = 32),
    name         TEXT NOT NULL,
    version      TEXT NOT NULL,
    signer       TEXT NOT NULL,     -- name of the key that was trusted when it came
    archive      BLOB NOT NULL,
    note         BLOB NOT NULL,     -- the signed note
    installed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- One row a plugin that was installed, switched off or on again. One of the library alone has no package.
CREATE TABLE plugins (
    name       TEXT PRIMARY KEY,
    current    BLOB,               -- the package that runs; none: the library's
    previous   BLOB,               -- the one before it, kept for going back
    candidate  BLOB,               -- the one that is tried beside it
    payloads   INTEGER NOT NULL DEFAULT 0, -- how many both must read alike
    until      INTEGER NOT NULL DEFAULT 0, -- and no longer than this, microseconds
    differ     INTEGER NOT NULL DEFAULT 0 CHECK (differ IN (0, 1)), -- readings may differ
    enabled    INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    generation INTEGER NOT NULL DEFAULT 0  -- rises whenever it is to be started anew
) STRICT, WITHOUT ROWID;
CREATE TABLE plugin_grants (
    name       TEXT NOT NULL,
    capability TEXT NOT NULL,
    PRIMARY KEY (name, capability)
) STRICT, WITHOUT ROWID;
CREATE TABLE plugin_signers (
    key        TEXT PRIMARY KEY,   -- a verifier key of C2SP signed notes
    trusted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- What was done with plugins, and what went wrong in them. A script's last words may hold values: sealed.
CREATE TABLE plugin_log (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL,
    at          INTEGER NOT NULL,
    deed        INTEGER NOT NULL CHECK (deed IN (0, 1)), -- something that was done; else something that went wrong
    sealed_text BLOB NOT NULL
) STRICT;
CREATE INDEX plugin_log_by_name ON plugin_log (name, deed, id);
-- How far each output has been told of alerts.
CREATE TABLE plugin_outputs (
    name       TEXT PRIMARY KEY,
    told_up_to INTEGER NOT NULL    -- the last step it is done with
) STRICT, WITHOUT ROWID;
-- Rises with every change of plugins and grants, so that the running gateway notices.
CREATE TABLE plugin_revision (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO plugin_revision (one, revision) VALUES (1, 0);
