SELECT name, CASE state WHEN 0 THEN body END FROM key_copies WHERE state <> 1 ORDER BY state, name LIMIT ?1
