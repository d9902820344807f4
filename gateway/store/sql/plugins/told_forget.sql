DELETE FROM plugin_outputs WHERE name = ?1
