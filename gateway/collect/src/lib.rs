//! Gates: bytes in over MQTT and serial, with where they came from.
