INSERT INTO assignments (device, athlete, from_time) VALUES (?1, ?2, ?3)
