//! The RFB protocol, version 3.3 to 3.8, without I/O and without a clock.
