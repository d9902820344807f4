SELECT count(*) FROM delivery_held JOIN delivery_steps ON id = step WHERE name = ?1 AND step <> ?2
