UPDATE alert_resets SET done_at = ?2, position = ?3 WHERE alert = ?1 AND done_at IS NULL
