"""The Realtime protocol as values and state machines: no I/O, no clock of its own."""
