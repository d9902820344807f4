-- What outputs are told of, in one order: every step in an alert's life, escalations and drills among them. No health data: ids and times.
CREATE TABLE delivery_steps (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    alert       BLOB NOT NULL,
    kind        INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 4), -- raised, acknowledged, cleared, escalated, drill
    level       INTEGER NOT NULL DEFAULT 0,                    -- of an escalation, from 1
    recorded_at INTEGER NOT NULL,
    UNIQUE (alert, kind, level)
) STRICT;
-- The numbers of before stay, so that where each output stood still holds.
INSERT INTO delivery_steps (id, alert, kind, recorded_at) SELECT id, alert, step, recorded_at FROM alert_steps ORDER BY id;
-- Whoever records a step, an older program too, has it told.
CREATE TRIGGER alert_steps_told AFTER INSERT ON alert_steps BEGIN
    INSERT INTO delivery_steps (alert, kind, recorded_at) VALUES (NEW.alert, NEW.step, NEW.recorded_at) ON CONFLICT (alert, kind, level) DO NOTHING;
END;
-- How far each output has been told. A table of its own: the numbers mean something else to an older program.
CREATE TABLE delivery_outputs (
    name       TEXT PRIMARY KEY,
    told_up_to INTEGER NOT NULL    -- the last step it is done with, or that is held for it
) STRICT, WITHOUT ROWID;
INSERT INTO delivery_outputs (name, told_up_to) SELECT name, told_up_to FROM plugin_outputs;
-- What is kept for an output until its quiet hours end.
CREATE TABLE delivery_held (
    name TEXT NOT NULL,
    step INTEGER NOT NULL,
    PRIMARY KEY (name, step)
) STRICT, WITHOUT ROWID;
-- Drills of the alert path: asked for, then ended. Bounded: the oldest go.
CREATE TABLE drills (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    asked_at INTEGER NOT NULL,
    by_hand  INTEGER NOT NULL CHECK (by_hand IN (0, 1)),
    ended_at INTEGER,              -- none: it runs, or waits
    proved   INTEGER NOT NULL DEFAULT 0 CHECK (proved IN (0, 1)),
    report   TEXT NOT NULL DEFAULT ''  -- what each leg took, as JSON
) STRICT;
