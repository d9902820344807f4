SELECT id, asked_at, by_hand, ended_at, proved, report FROM drills WHERE id = ?1
