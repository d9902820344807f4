DELETE FROM plugin_packages WHERE name = ?1 AND NOT EXISTS
    (SELECT 1 FROM plugins WHERE sha256 IN (plugins.current, plugins.previous, plugins.candidate))
