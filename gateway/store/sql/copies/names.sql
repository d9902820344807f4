SELECT name, athlete, generation FROM key_copies ORDER BY name
