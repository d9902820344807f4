INSERT INTO quarantine (refused_at, device, reason, bytes, sealed_body) VALUES (?1, ?2, ?3, ?4, ?5)
