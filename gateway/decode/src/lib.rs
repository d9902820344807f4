//! Payloads to readings: SenML, waveforms, Rhai decoders.
