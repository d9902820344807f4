SELECT count(*) FROM plugin_signers
