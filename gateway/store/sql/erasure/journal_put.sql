UPDATE journal SET sealed_body = ?2 WHERE id = ?1
