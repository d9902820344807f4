//! `pitchside blocks`.
