"""One Roof: homes for rent around the San Francisco Bay."""
