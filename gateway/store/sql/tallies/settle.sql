UPDATE tallies SET state = ?2 WHERE leaf_hash = ?1
