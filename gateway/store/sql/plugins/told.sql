SELECT told_up_to FROM plugin_outputs WHERE name = ?1
