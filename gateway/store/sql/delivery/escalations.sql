SELECT level, recorded_at FROM delivery_steps WHERE alert = ?1 AND kind = 3 ORDER BY level
