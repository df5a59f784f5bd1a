"""One replication: the clock, the tape, the pools and what they write down."""
