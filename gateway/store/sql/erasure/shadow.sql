SELECT id, at, rule, sealed_body FROM shadow_log ORDER BY id
