INSERT INTO assignments (device, athlete, from_time, to_time) VALUES (?1, ?2, ?3, ?4)
