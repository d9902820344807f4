SELECT told_up_to FROM delivery_outputs WHERE name = ?1
