"""People who called, what they want, and what to remember about them."""
