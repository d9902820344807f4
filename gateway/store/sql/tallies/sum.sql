UPDATE tallies SET all_confirmed = ?2, all_failed = ?3 WHERE release = ?1
