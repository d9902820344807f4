INSERT INTO plugin_settings (name, secret, key, sealed_value) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (name, secret, key) DO UPDATE SET sealed_value = excluded.sealed_value
