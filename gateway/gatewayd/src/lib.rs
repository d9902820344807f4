//! The pitchside binary: pipeline wiring, adapters, command line.
