SELECT release, confirmed, failed, made_at, state, all_confirmed, all_failed FROM tallies ORDER BY release
