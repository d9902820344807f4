INSERT INTO shadow_log (at, rule, sealed_body) VALUES (?1, ?2, ?3)
