UPDATE athletes SET generation = ?2 WHERE id = ?1 AND erased_at IS NULL AND generation + 1 = ?2
