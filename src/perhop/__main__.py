"""``python -m perhop`` is the command ``perhop``."""

from perhop.cli import main

if __name__ == "__main__":
    main()
