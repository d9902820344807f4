SELECT name, COUNT(*) FROM delivery_requests AS lost WHERE came = 2 AND unasked = 0 AND at >= ?1 AND NOT EXISTS
(SELECT 1 FROM delivery_requests AS later WHERE later.name = lost.name AND later.number = lost.number AND later.came = 1 AND later.step > lost.step)
GROUP BY name ORDER BY name
