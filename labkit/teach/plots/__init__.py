"""Pictures with a text twin: what waits, for how long, when it is tried again, and what goes round.

RULES      a picture draws facts that another room has found (queue/plan.py, lab/lives.py, lab/hops.py, lab/whatif.py);
           whatever it shows stands in its text, too. matplotlib is imported when the first picture is drawn.
READ NEXT  picture.py
"""

from labkit.teach.plots.header_growth import header_growth
from labkit.teach.plots.hop_ladder import hop_ladder
from labkit.teach.plots.loop_graph import loop_graph
from labkit.teach.plots.many_headers import many_headers
from labkit.teach.plots.message_life import message_life
from labkit.teach.plots.precision_recall import precision_recall
from labkit.teach.plots.predict import predict_life, predict_schedule
from labkit.teach.plots.queue_over_time import queue_over_time
from labkit.teach.plots.retry_schedule import retry_schedule
from labkit.teach.plots.roc import roc
from labkit.teach.plots.scale import beside_real_mail, scale
from labkit.teach.plots.tls_matrix import tls_picture
from labkit.teach.plots.verdict_matrix import verdict_matrix
from labkit.teach.plots.why_waiting import why_waiting

__all__ = [
    "beside_real_mail",
    "header_growth",
    "hop_ladder",
    "loop_graph",
    "many_headers",
    "message_life",
    "precision_recall",
    "predict_life",
    "predict_schedule",
    "queue_over_time",
    "retry_schedule",
    "roc",
    "scale",
    "tls_picture",
    "verdict_matrix",
    "why_waiting",
]
