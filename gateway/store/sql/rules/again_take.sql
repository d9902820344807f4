DELETE FROM rules_again RETURNING name
