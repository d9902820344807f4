SELECT release, count(*) FILTER (WHERE confirmed = 1), count(*) FILTER (WHERE confirmed = 0) FROM firmware_outcomes
WHERE counts = 1 GROUP BY release
