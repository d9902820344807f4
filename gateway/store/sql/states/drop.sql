DELETE FROM decoder_states WHERE plugin = ?1 AND device = ?2
