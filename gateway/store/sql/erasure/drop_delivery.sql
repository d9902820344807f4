DELETE FROM delivery_steps WHERE alert = ?1
