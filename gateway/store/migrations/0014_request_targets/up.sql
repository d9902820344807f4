-- Whom a request is for, as a hash: asked again, an output may be set up otherwise by then. None: a program of before wrote the row.
ALTER TABLE delivery_requests ADD COLUMN target BLOB;
