//! PS/1, the device protocol: frame, handshake, session, message. no_std, sans-IO.
