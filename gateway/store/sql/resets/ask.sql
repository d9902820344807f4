INSERT INTO alert_resets (alert, asked_at, sealed_body) VALUES (?1, ?2, ?3) ON CONFLICT (alert) DO NOTHING
