SELECT device, count(*), sum(bytes) FROM undecoded GROUP BY device
