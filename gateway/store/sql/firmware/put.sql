INSERT INTO sensor_firmware (device, hardware, component, version, counter, seen_at, release, target, size, have, attempts, stage, reason, text, reported_at, held)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
ON CONFLICT (device) DO UPDATE SET hardware = excluded.hardware, component = excluded.component, version = excluded.version,
    counter = excluded.counter, seen_at = excluded.seen_at, release = excluded.release, target = excluded.target, size = excluded.size,
    have = excluded.have, attempts = excluded.attempts, stage = excluded.stage, reason = excluded.reason, text = excluded.text,
    reported_at = excluded.reported_at, held = excluded.held
