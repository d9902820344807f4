DELETE FROM delivery_kept WHERE step NOT IN (SELECT id FROM delivery_steps)
