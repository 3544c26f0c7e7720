"""Relaxations as people have them, read into labelled frames."""

from defectscout.learning.readers.defaults import SourceDefaults
from defectscout.learning.readers.read import read_source

__all__ = ["SourceDefaults", "read_source"]
