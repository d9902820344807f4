DELETE FROM delivery_requests WHERE step NOT IN (SELECT id FROM delivery_steps)
