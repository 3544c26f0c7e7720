"""An analysis of an alloy made by hand: compositions, environments and verdicts of every kind."""

from __future__ import annotations

from dataclasses import replace

from defectscout.analysis.alloys import AlloyAnalysis, EnvironmentResult, SiteComparison, SiteResult, Verdict

ENVIRONMENTS = ("Te4", "Te3Se", "Te2Se2", "TeSe3", "Se4")


def a_site(x: float, environment: str, relative: float | None, bonds: str = "Te–Te", **others: object) -> SiteResult:
    """A site of Cd(Te,Se); other attributes as they are given."""
    known = relative is not None
    site = SiteResult(
        supercell=f"Cd50Te{round(50 * (1 - x))}Se{round(50 * x)}-1",
        formula=f"Cd50Te{round(50 * (1 - x))}Se{round(50 * x)}",
        composition=f"Te {1 - x:.3f}, Se {x:.3f}",
        x=x,
        realisation=1,
        defect=f"v_Cd_{environment}_0",
        kind="v_Cd_0",
        environment=environment,
        sites=4,
        share=0.25,
        sampling=31,
        surrogate_minima=9,
        minima=5 if known else 0,
        bonds=bonds if known else "",
        symmetry="C1" if known else "",
        motif=f"{bonds} dimer" if known else "",
        lowering=-0.7 if known else None,
        formation_energy=None if relative is None else relative + 24.0,
        relative=relative,
        confidence="moderate",
        finished=known,
    )
    return replace(site, **others)  # type: ignore[arg-type]


def an_alloy() -> AlloyAnalysis:
    """Three compositions; one site has no ground state yet, and one search goes on."""
    sites = (
        a_site(0.2, "Te4", 0.31),
        a_site(0.2, "Te3Se", 0.12, "Se–Te"),
        a_site(0.2, "Te2Se2", 0.42, "2 Te–Te + Se–Te"),
        a_site(0.5, "Te4", 0.05),
        a_site(0.5, "Te3Se", 0.0),
        a_site(0.5, "Te2Se2", 0.21, "Se–Te", finished=False),
        a_site(0.5, "TeSe3", 0.56, "Se–Se"),
        a_site(0.5, "Se4", None),
        a_site(0.8, "Te2Se2", 0.47, "Se–Te"),
        a_site(0.8, "TeSe3", 0.66, "Se–Se"),
        a_site(0.8, "Se4", 0.81, "none", symmetry="Td"),
    )

    def coarse(site: SiteResult, bonds: str, **others: object) -> SiteResult:
        return replace(site, sampling=15, minima=3, surrogate_minima=0, bonds=bonds, **others)  # type: ignore[arg-type]

    comparisons = (
        SiteComparison(sites[1], coarse(sites[1], "Se–Se"), -0.4, Verdict.LOWER),
        SiteComparison(sites[2], coarse(sites[2], "none", symmetry="Td"), -0.2, Verdict.LOWER),
        SiteComparison(sites[3], coarse(sites[3], "Te–Te"), -0.001, Verdict.SAME),
        SiteComparison(sites[4], coarse(sites[4], "Se–Te"), 0.01, Verdict.LEVEL),
        SiteComparison(sites[5], coarse(sites[5], "none"), -0.15, Verdict.OPEN),
        SiteComparison(sites[7], coarse(sites[7], "none"), None, Verdict.OPEN),
        SiteComparison(sites[9], coarse(sites[9], "Te–Te"), 0.11, Verdict.MISSED),
    )
    environments = (
        EnvironmentResult("v_Cd_0", "Te4", 2, (("Te–Te", 2),), (0.05, 0.18, 0.31)),
        EnvironmentResult("v_Cd_0", "Te3Se", 2, (("Se–Te", 1), ("Te–Te", 1)), (0.0, 0.06, 0.12)),
        EnvironmentResult("v_Cd_0", "Te2Se2", 3, (("Se–Te", 2), ("2 Te–Te + Se–Te", 1)), (0.21, 11 / 30, 0.47)),
        EnvironmentResult("v_Cd_0", "TeSe3", 2, (("Se–Se", 2),), (0.56, 0.61, 0.66)),
        EnvironmentResult("v_Cd_0", "Se4", 1, (("none", 1),), (0.81, 0.81, 0.81)),
    )
    notes = ("Cd50Te5Se45-1 (Te 0.100, Se 0.900) has not been begun.",)
    return AlloyAnalysis("Cd(Te,Se)", sites, environments, comparisons, "Se", notes)


def a_quinary_alloy() -> AlloyAnalysis:
    """Two kinds of defects, two mixed sublattices, two realisations, charges, and hosts that were kept as given."""
    parent = an_alloy()
    texts = {0.2: "Cd 0.750, Zn 0.250; Te 0.500, Se 0.250, S 0.250", 0.5: "Cd 0.500, Zn 0.500; Te 0.500, Se 0.500"}
    sites = tuple(
        replace(
            site,
            composition=texts[site.x],
            realisation=realisation,
            supercell=f"{site.supercell[:-1]}{realisation}",
            kind=kind,
            defect=site.defect.replace("v_Cd", kind[:-2]).replace("_0", "_-2" if kind.endswith("-2") else "_0"),
            formation_energy=None,
            relative=None if site.relative is None else site.relative + 0.1 * number,
        )
        for realisation in (1, 2)
        for number, kind in enumerate(("v_Cd_0", "v_Zn_-2"))
        for site in parent.sites
        if site.x in texts
    )
    environments = (
        *parent.environments,
        *(replace(item, kind="v_Zn_-2") for item in parent.environments if item.environment != "Se4"),
    )
    comparisons = tuple(
        SiteComparison(site, replace(site, sampling=15, minima=2), -0.05 * number, Verdict.LOWER)
        for number, site in enumerate(sites, start=1)
    )
    return AlloyAnalysis("(Cd,Zn)(Te,Se,S)", sites, environments, comparisons)
