-- What waits; what became of the others stays with its alert.
DELETE FROM delivery_requests WHERE name = ?1 AND came = 0
