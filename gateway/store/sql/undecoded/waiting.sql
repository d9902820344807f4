SELECT count(*), min(arrived_at) FROM undecoded
