SELECT max(CASE name WHEN 'devices' THEN revision END),
       max(CASE name WHEN 'assignments' THEN revision END),
       max(CASE name WHEN 'athletes' THEN revision END),
       max(CASE name WHEN 'users' THEN revision END)
FROM revisions
