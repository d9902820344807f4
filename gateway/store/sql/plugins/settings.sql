SELECT key, sealed_value FROM plugin_settings WHERE name = ?1 AND secret = ?2 ORDER BY key
