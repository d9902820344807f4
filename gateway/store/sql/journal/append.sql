INSERT INTO journal (id, newest, entries, sealed_body) VALUES (?1, ?2, ?3, ?4)
