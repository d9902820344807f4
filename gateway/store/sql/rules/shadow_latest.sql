SELECT id, at, rule, sealed_body FROM shadow_log WHERE ?1 IS NULL OR rule = ?1 ORDER BY id DESC LIMIT ?2
