SELECT device, hardware, component, version, counter, seen_at, release, target, size, have, attempts, stage, reason, text, reported_at, held
FROM sensor_firmware ORDER BY device
