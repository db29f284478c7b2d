"""HTTP: the Realtime API, the management API, tokens, health and pages."""
