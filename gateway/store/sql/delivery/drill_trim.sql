DELETE FROM delivery_steps WHERE kind = 4 AND id NOT IN (SELECT id FROM delivery_steps WHERE kind = 4 ORDER BY id DESC LIMIT ?1)
