import json

import numpy as np

from defectscout.sampling.metadata import merge_shakenbreak, to_shakenbreak
from defectscout.sampling.poscar import poscar_order, poscar_text
from defectscout.sampling.sample import sample
from defectscout.sampling.settings import SamplingSettings
from sampling.defect_examples import antisite, vacancy


def test_poscar_is_in_shakenbreaks_order() -> None:
    from pymatgen.core import Structure

    atoms = antisite().atoms
    theirs = Structure.from_ase_atoms(atoms).get_sorted_structure()
    ours = Structure.from_str(poscar_text(atoms, "two\nlines"), fmt="poscar")
    assert [site.specie.symbol for site in ours] == [site.specie.symbol for site in theirs]
    assert np.abs(ours.frac_coords - theirs.frac_coords).max() < 1e-12
    assert np.abs(ours.lattice.matrix - theirs.lattice.matrix).max() < 1e-12


def test_order_of_a_sorted_supercell_is_unchanged() -> None:
    atoms = vacancy().atoms
    assert poscar_order(atoms).tolist() == list(range(len(atoms)))


def test_metadata_of_a_vacancy_reads_as_shakenbreaks() -> None:
    from shakenbreak.plotting import _parse_distortion_metadata

    defect = vacancy()
    metadata = sample(defect, SamplingSettings(distortions=(-0.4,))).metadata
    content = json.loads(json.dumps(to_shakenbreak(metadata, defect.atoms)))
    assert _parse_distortion_metadata(content, "v_Cd", 0) == (2, "Te")
    assert content["defects"]["v_Cd"]["unique_site"] == [0.0, 0.0, 0.0]
    assert "defect_site_index" not in content["defects"]["v_Cd"]


def test_indices_count_in_the_poscar() -> None:
    from pymatgen.core import Structure

    defect = antisite()
    metadata = sample(defect, SamplingSettings(distortions=(-0.4,))).metadata
    content = to_shakenbreak(metadata, defect.atoms)["defects"]["Cd_Te"]
    written = Structure.from_str(poscar_text(defect.atoms, ""), fmt="poscar")
    site = written[content["defect_site_index"]]
    assert site.specie.symbol == "Cd"
    assert np.allclose(site.frac_coords, defect.site)
    for index, symbol in content["charges"]["0"]["distorted_atoms"]:
        assert written[index].specie.symbol == symbol
        assert written[index].distance(site) < 3.0


def test_several_defects_and_charges_share_a_file() -> None:
    merged: dict[str, object] = {}
    for defect in (vacancy(), vacancy(charge=-2), antisite(), vacancy()):
        metadata = sample(defect, SamplingSettings(none=True)).metadata
        merged = merge_shakenbreak(merged, to_shakenbreak(metadata, defect.atoms))
    defects = merged["defects"]
    assert isinstance(defects, dict)
    assert {name: set(entry["charges"]) for name, entry in defects.items()} == {
        "v_Cd": {"0", "-2"},
        "Cd_Te": {"0"},
    }
