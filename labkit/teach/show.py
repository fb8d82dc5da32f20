"""`show(x)`: display a thing of the lab, whatever it is.

WHAT       finds the view for the type of x and returns it; Jupyter displays it. `show(x, line=9)`: the view's options.
HOW        a view registers itself, in a file of its own in teach/views:

               @shows(QueueItem)
               def show_item(item: QueueItem, *, wide: bool = False) -> View: ...

               @shows(Exchange, many=True)           # for a list or tuple of them
               def show_exchanges(exchanges: Sequence[Exchange]) -> View: ...

           Nothing else is to be done: the files there are imported, once, when `show` first meets a type it does not
           know. So they import what they show and `labkit.teach`, and leave matplotlib to the function that draws.
DECIDES    the most special class of x that has a view wins; a list or tuple is shown by what is in it.
READ NEXT  view.py, views/dialogue.py
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from labkit.teach.view import View

Shower = Callable[..., View]
S = TypeVar("S", bound=Shower)

_ONE: dict[type, Shower] = {}
_MANY: dict[type, Shower] = {}


def shows(kind: type, *, many: bool = False) -> Callable[[S], S]:
    """Register the function that makes a view of `kind`, or of several of them. Raises ValueError for a second one."""

    def register(shower: S) -> S:
        known = _MANY if many else _ONE
        if kind in known and _name(known[kind]) != _name(shower):  # the same again is a module reloaded
            raise ValueError(f"{_name(known[kind])} already shows {kind.__name__}")
        known[kind] = shower
        return shower

    return register


def show(x: object, **options: Any) -> View:
    """The view of x. Raises TypeError for what has none, and says what has."""
    if isinstance(x, View):
        return x
    if inspect.iscoroutine(x):
        x.close()  # else Python complains a second time
        raise TypeError(
            "this has not been done yet: write `await` before what stands in the brackets of show()"
        )
    shower = _shower(x)
    if shower is None:
        _import_views()
        shower = _shower(x)
    if shower is None:
        raise TypeError(f"show() has no view of {_described(x)}; it can show {_known()}")
    return shower(x, **options)


def _shower(x: object) -> Shower | None:
    found = _by_class(_ONE, type(x))
    if found is None and isinstance(x, (list, tuple)) and x:
        found = _by_class(_MANY, _common_class(x))
    return found


def _by_class(known: dict[type, Shower], kind: type) -> Shower | None:
    return next((known[base] for base in kind.__mro__ if base in known), None)


def _common_class(several: Sequence[object]) -> type:
    """The most special class they all are of."""
    kinds = {type(each) for each in several}
    return next(base for base in type(several[0]).__mro__ if all(issubclass(kind, base) for kind in kinds))


def _import_views() -> None:
    from labkit.teach import views

    for module in pkgutil.iter_modules(views.__path__):
        importlib.import_module(f"{views.__name__}.{module.name}")


def _name(shower: Shower) -> str:
    return f"{shower.__module__}.{shower.__qualname__}"


def _described(x: object) -> str:
    if isinstance(x, (list, tuple)):
        inside = sorted({type(each).__name__ for each in x})
        return f"a {type(x).__name__} of {', '.join(inside)}" if inside else f"an empty {type(x).__name__}"
    return f"a {type(x).__name__}"


def _known() -> str:
    one = sorted({kind.__name__ for kind in _ONE})
    many = sorted(f"several {kind.__name__}" for kind in _MANY)
    return ", ".join([*one, *many]) or "nothing yet"
