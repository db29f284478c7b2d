"""How the tables of :mod:`perhop.store.models` came to be, one module a step."""
