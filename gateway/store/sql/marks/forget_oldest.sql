DELETE FROM marks WHERE device = ?1 AND epoch NOT IN
    (SELECT epoch FROM marks WHERE device = ?1 ORDER BY used DESC, epoch DESC LIMIT ?2)
