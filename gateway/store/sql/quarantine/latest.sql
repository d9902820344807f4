SELECT id, refused_at, device, reason, bytes, sealed_body FROM quarantine ORDER BY id DESC LIMIT ?1
