-- Alerts that somebody resets by hand: asked for by anybody, done by the gateway in the transaction of the alert's last step. What
-- was done is kept beyond the alert itself: whoever replays a rule has to know where. No health data in the clear: ids and times.
CREATE TABLE alert_resets (
    alert       BLOB PRIMARY KEY,
    asked_at    INTEGER NOT NULL,
    done_at     INTEGER,       -- by the gateway's clock; none: it waits
    position    INTEGER,       -- the rules had heard what came before this gateway time, and nothing from it on
    sealed_body BLOB NOT NULL  -- who asked, and why
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_resets_waiting ON alert_resets (asked_at) WHERE done_at IS NULL;
CREATE INDEX alert_resets_done ON alert_resets (position) WHERE done_at IS NOT NULL;
