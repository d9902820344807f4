DELETE FROM assignments WHERE athlete = ?1
