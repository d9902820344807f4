INSERT INTO delivery_outputs (name, told_up_to) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET told_up_to = excluded.told_up_to
