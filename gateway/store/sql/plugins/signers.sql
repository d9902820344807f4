SELECT key, trusted_at FROM plugin_signers ORDER BY key
