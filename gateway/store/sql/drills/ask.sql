INSERT INTO drills (asked_at, by_hand) VALUES (?1, ?2)
