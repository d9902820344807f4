SELECT name, version, signer, archive, note, installed_at FROM plugin_packages WHERE sha256 = ?1
