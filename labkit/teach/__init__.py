"""What students see: views of the things of the course, and what explains them.

WHAT       `show(x)` displays a thing of the lab: with buttons in Jupyter, as a table or as text anywhere else.
RULES      a view computes nothing about mail: it displays what the other rooms decided. Nothing here opens a
           socket, and importing this room imports neither Jupyter's widgets nor matplotlib.
READ NEXT  show.py, view.py, explain.py, views/dialogue.py
"""
