SELECT count(*) FROM athletes
