DELETE FROM delivery_held WHERE name = ?1 AND step = ?2
