"""One mail transfer agent: intake, delivery, queue runner.

WHAT       the only room that joins decisions (smtp, routing, delivery, queue) with the outside (net).
RULES      time, the agenda and the journal are handed in (`Surroundings`): this room owns none of them.
READ NEXT  surroundings.py, compiled.py, state.py, intake.py, delivery_run.py, runner.py, mta.py
"""
