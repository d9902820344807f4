INSERT INTO athlete_keys (athlete, generation, wrapped) SELECT id, ?2, ?3 FROM athletes WHERE id = ?1 AND erased_at IS NULL ON CONFLICT (athlete, generation) DO NOTHING
