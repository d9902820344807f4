INSERT INTO delivery_held (name, step) VALUES (?1, ?2) ON CONFLICT (name, step) DO NOTHING
