INSERT INTO decoder_states (plugin, device, sealed_value) VALUES (?1, ?2, ?3)
    ON CONFLICT (plugin, device) DO UPDATE SET sealed_value = excluded.sealed_value
