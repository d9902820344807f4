DELETE FROM plugin_grants WHERE name = ?1 AND capability = ?2
