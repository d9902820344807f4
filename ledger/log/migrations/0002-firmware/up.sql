-- Which leaves are about firmware: gateways ask for them from a place on. Derived, like the rest.
CREATE TABLE firmware (
    place INTEGER PRIMARY KEY REFERENCES leaf (place)
) STRICT;
