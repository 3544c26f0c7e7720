"""Waiting for something to happen elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def wait_for(look: Callable[[], Found], what: str, timeout: float, every: float = 0.5) -> Found:
    """What `look` finds, once that is something.

    Raises:
        AssertionError: it found nothing in `timeout` seconds.
    """
    end = time.monotonic() + timeout
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {timeout:.0f} s")
        time.sleep(every)
