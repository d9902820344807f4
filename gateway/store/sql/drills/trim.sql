-- The last that proved the path stays, however many failed since.
DELETE FROM drills WHERE id NOT IN (SELECT id FROM drills ORDER BY id DESC LIMIT ?1)
    AND id IS NOT (SELECT max(id) FROM drills WHERE proved = 1)
