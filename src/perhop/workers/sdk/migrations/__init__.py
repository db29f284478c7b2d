"""How the tables of :mod:`perhop.workers.sdk.tables` came to be, one module a step."""
