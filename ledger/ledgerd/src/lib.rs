//! The ledgerd binary: serve, fsck.
