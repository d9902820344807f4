SELECT count(*) FROM rules_again
