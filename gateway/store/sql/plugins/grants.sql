SELECT capability FROM plugin_grants WHERE name = ?1 ORDER BY capability
