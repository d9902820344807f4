DELETE FROM delivery_outputs WHERE name = ?1
