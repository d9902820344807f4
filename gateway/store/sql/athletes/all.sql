SELECT id, added_at, generation, erased_at FROM athletes ORDER BY id
