SELECT incarnation, block_index, receipt FROM receipts ORDER BY incarnation DESC, block_index DESC, level DESC LIMIT 1
