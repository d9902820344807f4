DELETE FROM delivery_held WHERE step NOT IN (SELECT id FROM delivery_steps)
