INSERT INTO delivery_steps (alert, kind, recorded_at) VALUES (?1, 4, ?2) ON CONFLICT (alert, kind, level) DO NOTHING
