SELECT name, secret, key, sealed_value FROM plugin_settings ORDER BY name, secret, key
