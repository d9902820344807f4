INSERT INTO undecoded (arrived_at, device, bytes, sealed_body) VALUES (?1, ?2, ?3, ?4)
