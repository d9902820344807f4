UPDATE drills SET ended_at = ?2, proved = ?3, report = ?4 WHERE id = ?1 AND ended_at IS NULL
