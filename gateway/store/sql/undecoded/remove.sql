DELETE FROM undecoded WHERE id = ?1
