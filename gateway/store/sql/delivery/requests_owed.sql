SELECT step, number FROM delivery_requests INDEXED BY delivery_requests_owed WHERE name = ?1 AND target = ?2 AND step < ?3 AND came = 2 AND unasked = 2 ORDER BY step, number LIMIT ?4
