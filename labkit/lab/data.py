"""Find the data files that come with labkit: in the installed package, or beside it in the source tree.

READ NEXT  scenarios.py
"""

from __future__ import annotations

from pathlib import Path


def data_path(*names: str) -> Path:
    """The path of a data file, such as `data_path("scenarios", "partners", "host.conf")`.

    Raises FileNotFoundError.
    """
    package = Path(__file__).resolve().parent.parent
    for root in (package / "data", package.parent / "data"):
        path = root.joinpath(*names)
        if path.exists():
            return path
    raise FileNotFoundError(f"labkit's data file {'/'.join(names)} is missing: install labkit again")


def fill_in(template: str, values: dict[str, str]) -> str:
    """Put values into a template: `{name}` becomes its value; braces around anything else stay as they are."""
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value)
    return template
