INSERT INTO alert_steps (alert, step, recorded_at, sealed_body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (alert, step) DO NOTHING
