-- Whether something of a later step that took the place of what was there came to a receiver, in this run of an output or one before.
SELECT EXISTS (SELECT 1 FROM delivery_requests WHERE name = ?1 AND step > ?3 AND target = ?2 AND came = 1 AND unasked = 1)
