"""Workers: processes that serve tools over the bus. :mod:`perhop.workers.sdk` is what they are made with."""
