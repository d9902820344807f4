-- Of steps that there are: one that went with its alert is kept for nobody until it is pruned here, too.
SELECT count(*) FROM delivery_kept JOIN delivery_steps ON id = step WHERE name = ?1 AND step <> ?2
