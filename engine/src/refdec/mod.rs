//! A slow, plain decoder of every encoding: the oracle of tests. Shares no code with the encoders.
