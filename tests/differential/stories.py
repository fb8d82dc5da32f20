"""All stories: whatever the files stories_*.py register."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from .story import STORIES, Story

__all__ = ["STORIES", "Story"]

for _file in sorted(Path(__file__).parent.glob("stories_*.py")):
    import_module(f".{_file.stem}", __package__)
