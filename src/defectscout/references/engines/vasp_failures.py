"""What goes wrong in VASP, how it says so, and what helps.

Messages and remedies are those that custodian's handlers know (https://materialsproject.github.io/custodian), less the
remedies that change what an energy means: other k-points, smearing, precision or cells would leave candidates that
cannot be compared with the others. Where custodian is installed, messages that are not in this list are named after
its handlers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from defectscout.references.engines.vasp_incar import incar_flag, incar_number

Changes = Mapping[str, str]
Remedy = Callable[[Changes, int], Changes | None]
"""New INCAR tags, from the present ones and the number of times that it has been tried; None if nothing is left."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A way to fail.

    Attributes:
        name: custodian's name for it, where it has one.
        reason: in words.
        messages: any of which stands in the output.
        stops: whether VASP ends with it; otherwise it is a warning that explains an end.
        remedy: what to change.
        start_over: whether to go back to the starting structure.
        costs: what a reader has to know of the remedy; empty if nothing.
    """

    name: str
    reason: str
    messages: tuple[str, ...] = ()
    stops: bool = True
    remedy: Remedy = lambda tags, tried: None
    start_over: bool = False
    costs: str = ""


def _rungs(*rungs: Changes) -> Remedy:
    """One rung of a ladder after the other, those left out that would change nothing."""

    def remedy(tags: Changes, tried: int) -> Changes | None:
        for rung in rungs[tried:]:
            if any(tags.get(name, "").split()[:1] != value.split()[:1] for name, value in rung.items()):
                return rung
        return None

    return remedy


def _algo(tags: Changes) -> str:
    """VASP looks at the first letter alone."""
    letter = tags.get("ALGO", "Normal")[:1].lower()
    return {"v": "veryfast", "f": "fast", "a": "all", "c": "all", "d": "damped"}.get(letter, "normal")


_ALL: Final = {"ALGO": "All", "ISEARCH": "1"}
_MIXING: Final = {"ALGO": "Normal", "NELMDL": "-6", "BMIX": "0.001", "AMIX_MAG": "0.8", "BMIX_MAG": "0.001"}
_AFRESH: Final = {"ISTART": "0", "ICHARG": "2"}  # leaves WAVECAR and CHGCAR unread, and unharmed


def _more_electronic(tags: Changes, tried: int) -> Changes | None:
    """Slower and surer algorithms, and time for them; hybrids have no Fast ones."""
    ladder = ("all", "damped", "mixing") if incar_flag(tags, "LHFCALC") else ("fast", "normal", "all", "mixing")
    rung = {
        "fast": {"ALGO": "Fast"},
        "normal": {"ALGO": "Normal"},
        "all": _ALL,
        "damped": {"ALGO": "Damped", "TIME": "0.5"},
        "mixing": _MIXING,
    }
    if "BMIX" in tags:
        return None
    now = _algo(tags)
    following = ladder[ladder.index(now) + 1 :] if now in ladder else ladder
    if not following:
        return None
    return {**rung[following[0]], "NELM": f"{max(100, int(incar_number(tags, 'NELM', 60)))}"}


def _surer_algo(tags: Changes, tried: int) -> Changes | None:
    return {"veryfast": {"ALGO": "Normal"}, "fast": {"ALGO": "Normal"}, "normal": _ALL}.get(_algo(tags))


def _to_all(tags: Changes, tried: int) -> Changes | None:
    return {**_ALL, **_AFRESH} if _algo(tags) != "all" else None


def _shorter_steps(tags: Changes, tried: int) -> Changes | None:
    """Half the step, three times; then damped dynamics, as custodian does."""
    if tried < 3:
        return {"POTIM": f"{incar_number(tags, 'POTIM', 0.5) / 2:.3g}"}
    if tried == 3 and incar_number(tags, "IBRION", 2) != 3:
        return {"IBRION": "3", "SMASS": "0.75"}
    return None


def _eddrmm(tags: Changes, tried: int) -> Changes | None:
    if _algo(tags) in ("fast", "veryfast"):
        return {"ALGO": "Normal", **_AFRESH}
    shorter = _shorter_steps(tags, tried)
    return {**shorter, **_AFRESH} if shorter is not None else None


def _zbrent(tags: Changes, tried: int) -> Changes | None:
    """Forces with less noise; then a quasi-Newton optimiser, which needs no line minimum."""
    if tried == 0:
        return {"EDIFF": f"{min(1e-6, incar_number(tags, 'EDIFF', 1e-4)):g}", "NELMIN": "8"}
    return {"IBRION": "1"} if tried == 1 and incar_number(tags, "IBRION", 2) != 1 else None


def _brions(tags: Changes, tried: int) -> Changes | None:
    if tried < 2:
        return {"POTIM": f"{incar_number(tags, 'POTIM', 0.5) + 0.1:.3g}"}
    return {"IBRION": "2", "POTIM": "0.5"} if tried == 2 else None


def _more_bands(tags: Changes, tried: int) -> Changes | None:
    bands = int(incar_number(tags, "NBANDS", 0))
    return {"NBANDS": str(max(int(1.1 * bands), bands + 1))} if bands and tried < 3 else None


def _reciprocal(tags: Changes, tried: int) -> Changes | None:
    real = tags.get("LREAL", "F").strip(". ")[:1].upper() not in ("F", "")
    return {"LREAL": ".FALSE."} if real else None


_SYMMETRY = _rungs({"SYMPREC": "1e-6"}, {"ISYM": "0"}, {"ISYM": "0", "SYMPREC": "1e-8"})
_REAL_SPACE = "Projections in reciprocal space shift the energy by some meV: set LREAL for all candidates alike."

SCF = Failure("scf", "the electronic structure does not converge", remedy=_more_electronic)
EXPLODED = Failure("exploded", "the geometry explodes", remedy=_shorter_steps, start_over=True)


def _positive(tags: Changes, tried: int) -> Changes | None:
    if _algo(tags) != "normal":
        return {"ALGO": "Normal"}
    return _shorter_steps(tags, tried)


POSITIVE = Failure("positive", "the energy is positive", remedy=_positive, start_over=True)
MEMORY = Failure(
    "memory",
    "it ran out of memory",
    (
        "oom-kill", "oom_kill", "Out Of Memory", "out of memory", "OUT_OF_ME", "Exceeded job memory limit",
        "exceeded memory limit", "Allocation would exceed memory limit", "TERM_MEMLIMIT", "Cannot allocate memory",
    ),
)  # fmt: skip
CRASHED = Failure(
    "crash",
    "the program crashed",
    (
        "SIGSEGV", "Segmentation fault", "segmentation fault", "SIGBUS", "SIGFPE", "forrtl: severe", "forrtl: error",
        "MPI_ABORT", "MPI_Abort", "BAD TERMINATION", "NODE_FAIL", "DUE TO NODE FAILURE",
    ),
    remedy=lambda tags, tried: {} if tried == 0 else None,
)  # fmt: skip
WALLTIME: Final = (
    "DUE TO TIME LIMIT", "PBS: job killed: walltime", "walltime exceeded", "exceeded limit (walltime",
    "TERM_RUNLIMIT", "job killed after reaching LSF run time limit", "exceeded hard wallclock", "h_rt limit",
    "CANCELLED AT", "DUE TO PREEMPTION",
)  # fmt: skip

FAILURES: Final[Sequence[Failure]] = (
    Failure(
        "potcar",
        "POSCAR and POTCAR name different elements",
        ("type information on POSCAR and POTCAR are incompatible", "number of potentials on File POTCAR incompatible"),
    ),
    Failure(
        "read_error",
        "VASP cannot read its input",
        ("Error reading item", "Error code was IERR= 5", "ERROR: there must be 1 or 3 items", "No such file: POTCAR"),
    ),
    MEMORY,
    Failure(
        "zbrent",
        "the line minimisation found no minimum (ZBRENT)",
        ("ZBRENT: fatal internal in", "ZBRENT: fatal error in bracketing", "ZBRENT: fatal error"),
        remedy=_zbrent,
    ),
    Failure(
        "brions",
        "the optimiser asks for longer steps (BRIONS)",
        ("BRIONS problems: POTIM should be increased",),
        remedy=_brions,
    ),
    Failure("edddav", "Davidson's algorithm failed (EDDDAV)", ("Error EDDDAV: Call to ZHEGV failed",), remedy=_to_all),
    Failure(
        "zheev",
        "a diagonalisation failed",
        (
            "ERROR EDDIAG: Call to routine ZHEEV failed",
            "ERROR in EDDIAG: call to ZHEEV/ZHEEVX/DSYEV/DSYEVX failed",
            "ERROR in subspace rotation PSSYEVX",
            "ERROR in subspace rotation PDSYEVX",
        ),
        remedy=_surer_algo,
    ),
    Failure(
        "inv_rot_mat",
        "VASP finds a symmetry that the cell does not quite have",
        ("rotation matrix was not found (increase SYMPREC)", "RHOSYG"),
        remedy=_rungs({"SYMPREC": "1e-4"}, {"ISYM": "0"}, {"ISYM": "0", "SYMPREC": "1e-8"}),
    ),
    Failure(
        "symmetry",
        "VASP's symmetry analysis failed",
        (
            "Found some non-integer element in rotation matrix",
            "SGRCON",
            "POSMAP",
            "internal error in subroutine PRICEL",
            "PRICELV: current lattice and primitive lattice are incommensurate",
            "group operation missing",
            "determination of the symmetry of your systems shows a strong",
            "Inconsistent Bravais lattice",
            "Fatal error detecting k-mesh",
            "Fatal error: unable to match k-point",
            "not all point group operations",
            "HNFORM: k-point generating",
        ),
        remedy=_SYMMETRY,
    ),
    Failure(
        "zpotrf",
        "the overlap of the bands is singular (ZPOTRF), mostly because atoms come too close",
        ("LAPACK: Routine ZPOTRF failed", "Routine ZPOTRF ZTRTRI", "supplied exchange-correlation table"),
        remedy=_shorter_steps,
        start_over=True,
    ),
    Failure(
        "real_optlay",
        "the projectors in real space cannot be optimised",
        ("REAL_OPTLAY: internal error", "REAL_OPT: internal ERROR", "ERROR RSPHER", "SBESSELITER : nicht konvergent"),
        remedy=_reciprocal,
        costs=_REAL_SPACE,
    ),
    Failure(
        "too_few_bands",
        "there are too few bands",
        ("TOO FEW BANDS", "number of bands is not sufficient"),
        remedy=_more_bands,
    ),
    Failure("coef", "WAVECAR cannot be read", ("while reading plane", "while reading WAVECAR"), remedy=_rungs(_AFRESH)),
    Failure(
        "brmix",
        "the charge density lost electrons (BRMIX)",
        ("BRMIX: very serious problems",),
        stops=False,
        remedy=_rungs(_AFRESH, {"IMIX": "1"}),
    ),
    Failure(
        "eddrmm",
        "the residual minimisation failed (EDDRMM)",
        ("WARNING in EDDRMM: call to ZHEGV failed",),
        stops=False,
        remedy=_eddrmm,
    ),
    Failure(
        "subspacematrix",
        "the subspace matrix is not Hermitian (DAV)",
        ("WARNING: Sub-Space-Matrix is not hermitian in DAV",),
        stops=False,
        remedy=_to_all,
    ),
    CRASHED,
)
"""In the order in which they explain an end: the first that is found counts."""


def find_failure(text: str, stopping: bool) -> Failure | None:
    """The first failure that a text speaks of.

    Args:
        text: what VASP and the queue wrote.
        stopping: whether to look for those alone that end a run.
    """
    for failure in FAILURES:
        if (failure.stops or not stopping) and any(message in text for message in failure.messages):
            return failure
    return None


def failure_named(name: str) -> Failure | None:
    """The failure of a name."""
    return next((failure for failure in (SCF, EXPLODED, POSITIVE, *FAILURES) if failure.name == name), None)


def named_by_custodian(text: str) -> str:
    """custodian's name for what a text speaks of; empty if it speaks of nothing, or custodian is not installed."""
    try:
        from custodian.vasp.handlers import VaspErrorHandler
    except ImportError:
        return ""
    messages: Mapping[str, Sequence[str]] = VaspErrorHandler.error_msgs
    names = [name for name, known in messages.items() if any(message in text for message in known)]
    return ", ".join(name for name in names if name not in _WARNINGS_OF_CUSTODIAN)


_WARNINGS_OF_CUSTODIAN: Final = frozenset({"auto_nbands", "amin", "elf_ncl", "algo_tet"})
