INSERT INTO athletes (id, added_at, generation) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING
