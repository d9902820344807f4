SELECT device, athlete, from_time, to_time FROM assignments ORDER BY device, from_time
