"""Scout the energy landscape of point defects with machine-learned force fields.

`search` does the whole job; `SearchSettings` holds every setting:

    from defectscout import search

    result = search("CdTe.cif", "cdte/")
    result.ground_state.lowering  # eV, against the relaxed unperturbed structure
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["DefectscoutError", "SearchResult", "SearchSettings", "__version__", "search"]

if TYPE_CHECKING:
    from defectscout.core.errors import DefectscoutError
    from defectscout.workflow.results import SearchResult
    from defectscout.workflow.search import search
    from defectscout.workflow.settings import SearchSettings

_HOMES = {
    "DefectscoutError": "defectscout.core.errors",
    "SearchResult": "defectscout.workflow.results",
    "SearchSettings": "defectscout.workflow.settings",
    "search": "defectscout.workflow.search",
}


def __getattr__(name: str) -> Any:
    """Import the public names only when they are used: the packages beneath are heavy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'defectscout' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
