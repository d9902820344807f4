INSERT INTO athletes (id, added_at, generation, erased_at) VALUES (?1, ?2, ?3, ?4)
