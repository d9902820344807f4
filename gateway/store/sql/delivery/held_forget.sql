DELETE FROM delivery_held WHERE name = ?1
