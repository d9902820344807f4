INSERT INTO firmware_outcomes (release, device, confirmed, reason, counts, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (release, device) DO UPDATE SET confirmed = excluded.confirmed, reason = excluded.reason, counts = excluded.counts, at = excluded.at
