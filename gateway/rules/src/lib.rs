//! Windows, evaluation, alerts, replay.
