SELECT device, sealed_value FROM decoder_states WHERE plugin = ?1 ORDER BY device
