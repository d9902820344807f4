SELECT id, arrived_at, device, bytes, sealed_body FROM undecoded ORDER BY id
