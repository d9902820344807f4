UPDATE plugin_packages SET installed_at = ?2 WHERE sha256 = ?1
