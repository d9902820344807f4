DELETE FROM delivery_kept WHERE name = ?1
