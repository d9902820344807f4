SELECT count(*) FROM delivery_held WHERE name = ?1
