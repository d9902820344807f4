SELECT number, came, unasked, target FROM delivery_requests WHERE name = ?1 AND step = ?2 ORDER BY number
