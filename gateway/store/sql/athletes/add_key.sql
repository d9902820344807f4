INSERT INTO athlete_keys (athlete, generation, wrapped) VALUES (?1, ?2, ?3)
