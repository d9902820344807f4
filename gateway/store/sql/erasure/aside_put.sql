UPDATE journal_damaged SET sealed_body = ?2 WHERE id = ?1
