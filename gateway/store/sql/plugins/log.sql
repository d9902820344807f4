SELECT name, at, deed, sealed_text, id FROM plugin_log WHERE ?1 IS NULL OR name = ?1 ORDER BY id DESC LIMIT ?2
