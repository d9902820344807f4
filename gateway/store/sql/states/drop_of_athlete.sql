DELETE FROM decoder_states WHERE device IN (SELECT device FROM assignments WHERE athlete = ?1 AND to_time IS NULL)
