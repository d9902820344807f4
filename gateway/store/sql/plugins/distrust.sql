DELETE FROM plugin_signers WHERE key = ?1
