//! Hot loops, each with a scalar twin that defines it.
