DELETE FROM decoder_states WHERE device = ?1
