-- What became of each request that outputs made of a step. No health data: ids and times.
CREATE TABLE delivery_requests (
    name   TEXT NOT NULL,                                    -- the output
    step   INTEGER NOT NULL,
    number INTEGER NOT NULL,                                 -- of those its script made of the step, from 0
    came   INTEGER NOT NULL CHECK (came BETWEEN 0 AND 2),    -- it waits to be tried again, was carried out, was given up
    at     INTEGER NOT NULL,                                 -- since when, by the gateway's clock
    PRIMARY KEY (name, step, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_requests_waiting ON delivery_requests (name, step, number) WHERE came = 0;
CREATE INDEX delivery_requests_step ON delivery_requests (step);
