DELETE FROM decoder_states WHERE plugin = ?1
