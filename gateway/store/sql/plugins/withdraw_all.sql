DELETE FROM plugin_grants WHERE name = ?1
