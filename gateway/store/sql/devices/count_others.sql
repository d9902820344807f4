SELECT count(*) FROM devices WHERE id <> ?1
