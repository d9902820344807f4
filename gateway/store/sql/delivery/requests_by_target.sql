SELECT target, COUNT(*) FROM delivery_requests INDEXED BY delivery_requests_waiting WHERE name = ?1 AND came = 0 GROUP BY target ORDER BY target
