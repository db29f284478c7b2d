"""How the tables of :mod:`perhop.tools.effects.tables` came to be, one module a step."""
