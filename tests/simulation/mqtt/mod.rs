//! A small MQTT 3.1.1 client (OASIS standard, 2014-10-29): what a sensor needs and no more. The codec does no I/O, so that
//! the load generator can keep many connections on one thread; PUBACKs come to the caller one by one and in order,
//! because they are what is counted.
//!
//! | module | holds |
//! | --- | --- |
//! | [`codec`] | packets to bytes, bytes to packets |
//! | [`stream`] | TCP, TLS with a CA file |

pub mod codec;
pub mod stream;
