-- What each later step asks of a program that did not make it: the lowest schema it must know to work with this database
-- (README.md, "Schema"). A program older than the database reads nothing else before it decides.
CREATE TABLE schema_steps (
    step   INTEGER PRIMARY KEY,
    reader INTEGER NOT NULL CHECK (reader BETWEEN 1 AND step)
) STRICT;
