-- What an admin set of a plugin: params and texts, and secrets. All of it sealed: a mail address is somebody's.
CREATE TABLE plugin_settings (
    name         TEXT NOT NULL,
    key          TEXT NOT NULL,
    secret       INTEGER NOT NULL CHECK (secret IN (0, 1)),
    sealed_value BLOB NOT NULL,
    PRIMARY KEY (name, secret, key)
) STRICT, WITHOUT ROWID;
