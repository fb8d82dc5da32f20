"""The views of names, for notebooks: `from labkit.teach.views.zone import ask, dig, publish, remembered, zone_table`.

READ NEXT  zone_table.py, zone_answers.py, zone_dig.py, zone_cache.py
"""

from labkit.teach.views.zone_answers import ask
from labkit.teach.views.zone_cache import remembered
from labkit.teach.views.zone_dig import dig
from labkit.teach.views.zone_table import publish, zone_table

__all__ = ["ask", "dig", "publish", "remembered", "zone_table"]
