SELECT id, arrived_at, device, bytes, sealed_body FROM undecoded WHERE id > ?1 ORDER BY id LIMIT ?2
