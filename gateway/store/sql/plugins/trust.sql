INSERT INTO plugin_signers (key, trusted_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING
