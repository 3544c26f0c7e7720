"""A map of what a campaign has seen (paper, figs 2, S6 and S22): likeness of structures in two dimensions, elements."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from ase.data import atomic_numbers

from defectscout.core.defect import Defect
from defectscout.core.errors import (
    CampaignError,
    MissingExtraError,
    ModelFileError,
    NothingFoundError,
    SettingsError,
)
from defectscout.core.frames import FloatArray, Frame
from defectscout.learning.features import surrogate_features
from defectscout.learning.frames import FrameOrigin, LabelledFrame
from defectscout.minima.fingerprint import site_fingerprints
from defectscout.minima.site import track_site
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.ensemble import EnsembleSurrogate
from defectscout.workflow.discovery import learned_surrogate
from defectscout.workflow.overview import DefectOverview, Overview, spaced_frames
from defectscout.workflow.record import CHECK, REFERENCE, SCOUT

Features = Literal["soap", "surrogate"]
"""What describes a structure; see `structure_map`."""

FEWEST_STRUCTURES: Final = 3

MOST_STRUCTURES: Final = 3000
"""From here on t-SNE takes minutes."""

COMPONENTS: Final = 50
"""Principal components that t-SNE sees: further ones are noise, and would slow it down."""

NOISE: Final = 1e-6
"""Features that spread less than this fraction of the largest value of any feature are left out: scaled to unit
variance they would show how exactly they were computed."""

EXACT_UP_TO: Final = 1000
"""Structures or features up to which all principal components are worked out; of more the first alone."""

_USE_SOAP: Final = "Or ask for soap features, which need no surrogate."


@dataclass(frozen=True, slots=True)
class MapPoint:
    """One structure.

    Attributes:
        host: formula.
        defect: label.
        label: the relaxation that it is of.
        stage: `scout` (on the surrogate's surface), `reference` or `check` (on the reference's).
        step: ionic step.
        last: whether it is the end of its relaxation, of one that still runs as far as it has come.
        energy: above the lowest structure that was recorded of the same defect and surface in the same campaign, eV.
        pca: the two first principal components.
        tsne: t-SNE coordinates.
        campaign: place of its campaign among those that were given, from 0: two may be of the same defect.
    """

    host: str
    defect: str
    label: str
    stage: str
    step: int
    last: bool
    energy: float
    pca: tuple[float, float]
    tsne: tuple[float, float]
    campaign: int = 0


@dataclass(frozen=True, slots=True)
class StructureMap:
    """All structures.

    Attributes:
        points: in the order of the campaigns and their defects, scouting first.
        explained: share of the variance along each of the two principal components.
        features: what describes a structure, in words.
    """

    points: tuple[MapPoint, ...]
    explained: tuple[float, float]
    features: str


def structure_map(
    overviews: Sequence[Overview],
    features: Features = "soap",
    frames: int = 10,
    seed: int = 0,
) -> StructureMap:
    """Map frames of all relaxations.

    Features are scaled to unit variance each (`soap` after every fingerprint was brought to unit length, as for the
    cosine distances that tell minima apart). Principal components come from them, and t-SNE (DOI
    10.5555/1390681.1390827) from the first `COMPONENTS` of those, with their first two to begin with. The sign of a
    principal component means nothing: it is chosen so that the structure farthest out along it has a positive
    coordinate. On one thread, so that the same structures give the same map to the last bit.

    Args:
        overviews: the campaigns.
        features: `soap`, the fingerprint of the defect site, comparable between hosts through a common list of
            species; `surrogate`, the mean atomic features of the surrogate that scouted (of a learning loop the last
            one that it tuned; of an ensemble its first member), which must be one for all: campaigns that have none
            of their own, such as reference-only ones, are mapped with that of the others.
        frames: of each relaxation, evenly spaced, at most; fewer where there would be more than `MOST_STRUCTURES`
            in all, but always the last.
        seed: of t-SNE.

    Raises:
        NothingFoundError: if fewer than three structures were recorded.
        MissingExtraError: without scikit-learn.
        SettingsError: if `surrogate` is asked for and there is not one surrogate for all, or it gives no features.
        CampaignError: if the surrogate of a campaign cannot be had any more.
    """
    seen = list(_structures(overviews, frames))
    if len(seen) < FEWEST_STRUCTURES:
        raise NothingFoundError(
            f"A map needs at least {FEWEST_STRUCTURES} structures, and {len(seen)} were recorded in "
            f"{', '.join(str(item.folder) for item in overviews) or 'no campaign'}. Go on with the search first."
        )
    if features == "soap":
        described, words = _fingerprints(seen), "SOAP fingerprint of the defect site"
    else:
        described, words = _atomic_features(overviews, seen)
    components, explained = _principal_components(described)
    neighbours = _neighbour_map(components, seed)
    return StructureMap(
        points=tuple(
            MapPoint(
                host=one.overview.formula,
                defect=one.defect.label,
                label=one.label,
                stage=one.stage,
                step=one.frame.step,
                last=one.last,
                energy=one.energy,
                pca=(float(pca[0]), float(pca[1])),
                tsne=(float(tsne[0]), float(tsne[1])),
                campaign=one.campaign,
            )
            for one, pca, tsne in zip(seen, components, neighbours, strict=True)
        ),
        explained=explained,
        features=words,
    )


@dataclass(frozen=True, slots=True)
class ElementCoverage:
    """How often an element occurs.

    Attributes:
        symbol: the element.
        hosts: hosts that hold it.
        defects: defects whose supercell holds it.
        configurations: structures that the reference has evaluated and that hold it, those of the host among them;
            each force call is one.
    """

    symbol: str
    hosts: int
    defects: int
    configurations: int


def element_coverage(overviews: Sequence[Overview]) -> tuple[ElementCoverage, ...]:
    """Elements of all hosts and defects, by atomic number.

    A host that several campaigns have searched counts once (hosts are told apart by formula and space group), and so
    does a defect of it.
    """
    hosts: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    defects: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    configurations: Counter[str] = Counter()
    for overview in overviews:
        host = (overview.formula, overview.host.space_group)
        for symbol in set(overview.bulk.symbols):
            hosts[symbol].add(host)
            configurations[symbol] += overview.host_calls
        for label, item in overview.defects.items():
            for symbol in set(item.defect.atoms.symbols):
                defects[symbol].add((*host, label))
                configurations[symbol] += item.cost.reference_calls
    return tuple(
        ElementCoverage(symbol, len(hosts[symbol]), len(defects[symbol]), configurations[symbol])
        for symbol in sorted(hosts.keys() | defects.keys(), key=atomic_numbers.__getitem__)
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Structure:
    """A frame on the map, and where it comes from."""

    campaign: int
    overview: Overview
    defect: Defect
    label: str
    stage: str
    frame: Frame
    last: bool
    energy: float


def _structures(overviews: Sequence[Overview], frames: int) -> Iterator[_Structure]:
    begun = sum(
        len(one.steps) > 0 for overview in overviews for item in overview.defects.values() for one in item.descents
    )
    number = max(1, min(frames, MOST_STRUCTURES // max(1, begun)))
    for campaign, overview in enumerate(overviews):
        for item in overview.defects.values():
            for stages in ((SCOUT,), (REFERENCE, CHECK)):
                for label, stage, frame, last, energy in _of_surface(overview, item, stages, number):
                    yield _Structure(campaign, overview, item.defect, label, stage, frame, last, energy)


def _of_surface(
    overview: Overview, item: DefectOverview, stages: Sequence[str], number: int
) -> Iterator[tuple[str, str, Frame, bool, float]]:
    """Label, stage, frame, whether it is the last, and energy above the lowest, of all frames on one surface.

    A search that runs may have recorded more since its overview was read.
    """
    found = [
        (stage, label, frame)
        for stage in stages
        for label, frame in spaced_frames(overview.folder, item.defect.label, stage, number)
    ]
    ends = {(stage, label): frame.step for stage, label, frame in found}
    recorded = [one.energies for one in item.descents if one.stage in stages and len(one.energies)]
    lowest = min(
        [frame.prediction.energy for _, _, frame in found] + [float(each.min()) for each in recorded], default=0.0
    )
    for stage, label, frame in found:
        yield label, stage, frame, frame.step == ends[stage, label], frame.prediction.energy - lowest


def _fingerprints(seen: Sequence[_Structure]) -> FloatArray:
    structures = [one.frame.atoms for one in seen]
    centres = [track_site(one.defect, one.frame.atoms) for one in seen]
    rows = site_fingerprints(structures, centres, seen[0].overview.settings.minima)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=float)


def _atomic_features(overviews: Sequence[Overview], seen: Sequence[_Structure]) -> tuple[FloatArray, str]:
    surrogate, words = _surrogate(overviews)
    frames = (
        LabelledFrame(
            one.frame.atoms,
            one.frame.prediction,
            FrameOrigin(
                host=one.overview.formula,
                defect=one.defect.name,
                charge=one.defect.charge,
                start=one.label,
                step=one.frame.step,
                method=one.overview.settings.reference.name,
                source=str(one.overview.folder),
            ),
        )
        for one in seen
    )
    rows = surrogate_features(frames, len(seen), surrogate)
    return np.asarray(rows, dtype=float), f"mean atomic features of {words}"


def _surrogate(overviews: Sequence[Overview]) -> tuple[Surrogate, str]:
    """The one surrogate of all campaigns that have one, and what it is called."""
    from defectscout.surrogates.registry import load_surrogate

    known = {model: (overview, words) for overview in overviews for model, words in _models(overview)}
    if len(known) != 1:
        names = "; ".join(words for _, words in known.values()) or "none"
        raise SettingsError(
            f"A map by the features of the surrogate needs one for all structures, and these campaigns have "
            f"{len(known)}: {names}. Ask for soap features, or for a map of campaigns with the same surrogate."
        )
    [(model, (overview, words))] = known.items()
    try:
        surrogate = load_surrogate(overview.settings.surrogate.model_copy(update={"name": model}))
    except ModelFileError as error:
        raise CampaignError(
            f"The surrogate of {overview.folder} cannot be had any more: {error} {_USE_SOAP}"
        ) from error
    recorded = overview.surrogate
    if (
        model == overview.settings.surrogate.name
        and recorded is not None
        and recorded.weights != surrogate.info.weights
    ):
        raise CampaignError(
            f"The campaign in {overview.folder} was scouted with other weights of {recorded.name} ({recorded.weights}) "
            f"than those that are there now ({surrogate.info.weights}). Put the old weights back. {_USE_SOAP}"
        )
    return surrogate.members[0] if isinstance(surrogate, EnsembleSurrogate) else surrogate, words


def _models(overview: Overview) -> Iterator[tuple[str, str]]:
    """Name that each surrogate of a campaign is loaded by, and what it is called."""
    if overview.settings.strategy == "scout":
        yield overview.settings.surrogate.name, overview.settings.surrogate.name
    elif overview.settings.strategy == "learn":
        for label in overview.defects:
            try:
                folder = learned_surrogate(overview.folder, label)
            except CampaignError as error:
                raise CampaignError(f"{error} {_USE_SOAP}") from error
            yield str(folder), f"the surrogate that was tuned on {overview.formula} {label}"


def _principal_components(features: FloatArray) -> tuple[FloatArray, tuple[float, float]]:
    """Coordinates along the first components, shape (n, 2 or more), and shares of the variance of the first two."""
    decomposition, _, preprocessing = _scikit_learn()
    from threadpoolctl import threadpool_limits

    spread = features.std(axis=0)
    kept = features[:, spread > NOISE * max(float(spread.max()), float(np.abs(features).max()))]
    count = min(COMPONENTS, len(kept) - 1, kept.shape[1])
    coordinates = np.zeros((len(kept), max(count, 2)))
    shares = np.zeros(2)
    if count:
        solver = "full" if min(kept.shape) <= EXACT_UP_TO else "arpack"
        with threadpool_limits(limits=1):
            scaled = preprocessing.StandardScaler().fit_transform(kept)
            pca = decomposition.PCA(count, svd_solver=solver, random_state=0)
            coordinates[:, :count] = pca.fit_transform(scaled)
        shares[: min(count, 2)] = pca.explained_variance_ratio_[:2]
    farthest = coordinates[np.abs(coordinates).argmax(axis=0), np.arange(coordinates.shape[1])]
    return coordinates * np.where(farthest < 0, -1.0, 1.0), (float(shares[0]), float(shares[1]))


def _neighbour_map(components: FloatArray, seed: int) -> FloatArray:
    """t-SNE coordinates, shape (n, 2)."""
    _, manifold, _ = _scikit_learn()
    from threadpoolctl import threadpool_limits

    if not np.ptp(components, axis=0).any():
        return np.zeros((len(components), 2))
    perplexity = min(30.0, (len(components) - 1) / 3)
    with threadpool_limits(limits=1):
        tsne = manifold.TSNE(2, perplexity=perplexity, init="pca", random_state=seed, n_jobs=1)
        return np.asarray(tsne.fit_transform(components), dtype=float)


def _scikit_learn() -> tuple[Any, Any, Any]:
    try:
        from sklearn import decomposition, manifold, preprocessing
    except ImportError as error:
        raise MissingExtraError("A map of structures", "scikit-learn", "report") from error
    return decomposition, manifold, preprocessing
