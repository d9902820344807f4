DELETE FROM plugin_settings WHERE name = ?1 AND secret = ?2 AND key = ?3
