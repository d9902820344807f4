SELECT wrapped FROM athlete_keys WHERE athlete = ?1 AND generation = ?2
