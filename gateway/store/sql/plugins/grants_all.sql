SELECT name, capability FROM plugin_grants ORDER BY name, capability
