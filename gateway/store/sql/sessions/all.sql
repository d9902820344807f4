SELECT id, device, ceiling, body FROM device_sessions ORDER BY device, made
