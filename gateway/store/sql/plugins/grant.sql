INSERT INTO plugin_grants (name, capability) VALUES (?1, ?2) ON CONFLICT DO NOTHING
