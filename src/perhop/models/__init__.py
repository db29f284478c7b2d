"""Model legs: where a call's words go and its answers come from."""
