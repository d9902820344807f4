INSERT INTO key_copies (name, athlete, generation, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO NOTHING
