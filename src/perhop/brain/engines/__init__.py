"""Engine processes: recognition and synthesis beside the event loop, behind one small pipe protocol.

This package's modules come in two kinds. ``process`` and ``pool`` run in the server; ``worker``, ``sphinx``,
``dictation`` and ``espeak`` run in the children, which therefore import neither a web framework nor pydantic.
``protocol`` is what both speak.
"""
