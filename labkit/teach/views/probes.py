"""Trying out a configuration, in notebooks.

HOW        `from labkit.teach.views.probes import configure, expand, probe, what_changed`
READ NEXT  probes_talk.py, probes_table.py, probes_configure.py, probes_expand.py
"""

from labkit.teach.views.probes_configure import configure
from labkit.teach.views.probes_expand import expand
from labkit.teach.views.probes_table import probe, what_changed

__all__ = ["configure", "expand", "probe", "what_changed"]
