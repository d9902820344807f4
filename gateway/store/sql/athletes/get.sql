SELECT id, added_at, generation, erased_at FROM athletes WHERE id = ?1
