UPDATE athletes SET erased_at = coalesce(erased_at, ?2) WHERE id = ?1
