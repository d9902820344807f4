UPDATE journal_state SET used_up_to = max(used_up_to, ?1)
