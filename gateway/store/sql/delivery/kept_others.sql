SELECT count(*) FROM delivery_kept WHERE name = ?1 AND step <> ?2
