//! Enrolment, keys, sessions: the one door from Inbound to Authentic.
