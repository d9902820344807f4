INSERT INTO plugin_log (name, at, deed, sealed_text) VALUES (?1, ?2, ?3, ?4)
