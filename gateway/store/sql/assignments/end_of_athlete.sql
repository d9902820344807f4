-- One that begins later than now never comes to be; the check in the schema keeps to_time after from_time.
UPDATE assignments SET to_time = max(?2, from_time + 1) WHERE athlete = ?1 AND to_time IS NULL
