SELECT leaf FROM acts WHERE state = 0 ORDER BY made_at LIMIT ?1
