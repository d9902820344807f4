UPDATE key_copies SET state = 2, body = zeroblob(length(body)) WHERE athlete = ?1
