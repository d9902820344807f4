INSERT INTO delivery_kept (name, step, why) VALUES (?1, ?2, ?3) ON CONFLICT (name, step) DO UPDATE SET why = excluded.why
