DELETE FROM plugins WHERE name = ?1
