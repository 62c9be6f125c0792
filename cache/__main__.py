"""``python -m cache`` is the command ``glasscache``."""

import sys

from cache.cli import main

if __name__ == "__main__":
    sys.exit(main())
