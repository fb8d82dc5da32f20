"""So that `python -m labkit.cli.exim` works."""

import sys

from labkit.cli.exim import main

sys.exit(main())
