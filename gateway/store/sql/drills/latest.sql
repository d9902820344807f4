SELECT id, asked_at, by_hand, ended_at, proved, report FROM drills WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT 1
