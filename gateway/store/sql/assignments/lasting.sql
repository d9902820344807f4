SELECT device, athlete, from_time, to_time FROM assignments WHERE to_time IS NULL ORDER BY device
