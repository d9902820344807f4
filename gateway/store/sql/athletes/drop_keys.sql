DELETE FROM athlete_keys WHERE athlete = ?1
