DELETE FROM plugin_settings WHERE name = ?1
