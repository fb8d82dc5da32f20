"""The options labkit knows: one row each. What has no row is refused.

READ NEXT  row.py, kinds.py, table.py
"""

from labkit.eximconf.options.kinds import read_time, shown_time
from labkit.eximconf.options.row import Option, Standing
from labkit.eximconf.options.table import DRIVERS, TABLE, defaults, find, read_setting, rows

__all__ = [
    "DRIVERS",
    "TABLE",
    "Option",
    "Standing",
    "defaults",
    "find",
    "read_setting",
    "read_time",
    "rows",
    "shown_time",
]
