SELECT target, COUNT(*) FROM delivery_requests WHERE name = ?1 AND came = 0 GROUP BY target ORDER BY target
