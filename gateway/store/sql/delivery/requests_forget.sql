-- What waits or is owed; what became of the others stays with its alert.
DELETE FROM delivery_requests WHERE name = ?1 AND (came = 0 OR (came = 2 AND unasked = 2))
