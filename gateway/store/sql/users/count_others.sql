SELECT count(*) FROM users WHERE name <> ?1
