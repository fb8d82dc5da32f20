"""So that `python -m labkit.cli` works."""

import sys

from labkit.cli import main

sys.exit(main())
