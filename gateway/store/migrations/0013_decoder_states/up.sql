-- What decoders keep of devices, as the manifest of a plugin declares it: what a hub announced, say. Sealed: it may hold what a
-- payload held.
CREATE TABLE decoder_states (
    plugin       TEXT NOT NULL,
    device       TEXT NOT NULL,
    sealed_value BLOB NOT NULL,
    PRIMARY KEY (plugin, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX decoder_states_device ON decoder_states (device);
