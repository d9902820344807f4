DELETE FROM shadow_log WHERE id <= (SELECT max(id) FROM shadow_log) - ?1
