SELECT name, COUNT(*) FROM delivery_kept WHERE why = 0 GROUP BY name ORDER BY name
