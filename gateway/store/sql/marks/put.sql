INSERT INTO marks (device, epoch, used, highest, complete, durable) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (device, epoch) DO UPDATE SET
    used = excluded.used, highest = excluded.highest, complete = excluded.complete, durable = excluded.durable
