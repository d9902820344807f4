SELECT state FROM acts WHERE leaf_hash = ?1
