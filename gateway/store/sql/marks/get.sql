SELECT highest, complete, durable FROM marks WHERE device = ?1 AND epoch = ?2
