INSERT OR IGNORE INTO rules_again (name) VALUES (?1)
