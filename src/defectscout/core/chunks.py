"""Streams in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one shorter; as `itertools.batched`, which Python has from 3.12 on."""
    stream = iter(items)
    while batch := list(islice(stream, size)):
        yield batch
