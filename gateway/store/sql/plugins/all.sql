SELECT name, current, previous, candidate, payloads, until, differ, enabled, generation FROM plugins ORDER BY name
