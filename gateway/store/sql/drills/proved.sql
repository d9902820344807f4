SELECT ended_at FROM drills WHERE proved = 1 ORDER BY id DESC LIMIT 1
