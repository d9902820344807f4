SELECT id, asked_at, by_hand, ended_at, proved, report FROM drills WHERE ended_at IS NULL ORDER BY id LIMIT 1
