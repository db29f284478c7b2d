"""Text messages: sent once, followed until they arrived, and never to whoever does not want them."""
