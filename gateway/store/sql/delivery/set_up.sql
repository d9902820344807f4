SELECT name FROM delivery_outputs UNION SELECT name FROM plugin_grants ORDER BY name
