"""What joins two legs: the call, its response coordinator, history, barge-in, boundary and taps."""
