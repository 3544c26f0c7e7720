"""Errors that a user can act on.

Every message says what was wrong, where, and what to do about it. The command
line prints the message as one paragraph and leaves with `exit_code`.
"""

from __future__ import annotations


class DefectscoutError(Exception):
    """Base of every error that defectscout raises on purpose."""

    exit_code: int = 2


class InputFileError(DefectscoutError):
    """A file that is missing, unreadable or malformed."""


class HostError(DefectscoutError):
    """A host crystal that no defect search can start from."""


class UnstableHostError(DefectscoutError):
    """A host that does not keep its structure on the reference's surface."""

    exit_code = 4


class SupercellError(DefectscoutError):
    """No supercell fulfils the settings."""


class AlloyError(DefectscoutError):
    """An alloy that cannot be made of the parent crystal."""


class DefectSelectionError(DefectscoutError):
    """A defect name, pattern or charge that matches nothing."""


class SamplingError(DefectscoutError):
    """Sampling structures that cannot be made or do not fit the defect."""


class SettingsError(DefectscoutError):
    """A setting with an impossible value, or an unknown setting."""


class MissingExtraError(DefectscoutError):
    """An optional package is needed and not installed."""

    def __init__(self, needed_for: str, package: str, extra: str) -> None:
        super().__init__(
            f"{needed_for} needs the package '{package}', which is not installed. "
            f"Install it with: pip install 'defectscout[{extra}]'"
        )
        self.package = package
        self.extra = extra


class MissingProgramError(DefectscoutError):
    """A program outside Python, such as a DFT code or its data, is needed and was not found."""


class UnknownMethodError(DefectscoutError):
    """A surrogate or reference name that no adapter answers to."""


class UnsupportedElementError(DefectscoutError):
    """An element that the surrogate or the reference was not made for."""


class ModelFileError(DefectscoutError):
    """Model weights that are missing or cannot be read."""


class CalculationError(DefectscoutError):
    """One evaluation failed (no SCF convergence, non-finite forces, ...).

    Inside a relaxation this is caught and recorded as the reason of its failure.
    """

    exit_code = 3


class CampaignError(DefectscoutError):
    """A campaign folder that cannot be used as asked."""


class NothingFoundError(DefectscoutError):
    """Every relaxation of a stage failed, so that there is no answer to give."""

    exit_code = 3


class DatasetError(DefectscoutError):
    """A dataset that is missing, malformed, or does not hold what is asked of it."""


class TrainingError(DefectscoutError):
    """A training that cannot be begun, went astray, or ended worse than it began."""

    exit_code = 3
