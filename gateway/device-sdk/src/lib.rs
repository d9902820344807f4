//! The sensor's side of PS/1, for firmware authors. no_std, sans-IO.
