"""Works that a search may stand on, with the DOIs that their authors give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Work:
    """A work to cite.

    Attributes:
        key: of its BibTeX entry.
        authors: `Family, Given`, in order; a last `others` where there are many more.
        title: as published.
        journal: journal, or where it is published.
        year: of publication; 0 for software without a paper.
        doi: empty if there is none.
        volume, pages: empty where there are none.
    """

    key: str
    authors: tuple[str, ...]
    title: str
    journal: str
    year: int
    doi: str = ""
    volume: str = ""
    pages: str = ""


_MOSQUERA, _KAVANAGH, _WALSH = "Mosquera-Lois, Irea", "Kavanagh, Seán R.", "Walsh, Aron"
_SCANLON, _GANOSE = "Scanlon, David O.", "Ganose, Alex M."
_COMPUT_MATER = "npj Computational Materials"
_JCTC = "Journal of Chemical Theory and Computation"

DEFECTSCOUT: Final = Work("defectscout", ("{The defectscout developers}",), "defectscout", "", 0)
PAPER: Final = Work(
    "MosqueraLois2024", (_MOSQUERA, _KAVANAGH, _GANOSE, _WALSH),
    "Machine-learning structural reconstructions for accelerated point defect calculations",
    _COMPUT_MATER, 2024, "10.1038/s41524-024-01303-9", "10", "121",
)  # fmt: skip
SHAKENBREAK: Final = Work(
    "MosqueraLois2022", (_MOSQUERA, _KAVANAGH, _WALSH, _SCANLON),
    "ShakeNBreak: Navigating the defect configurational landscape",
    "Journal of Open Source Software", 2022, "10.21105/joss.04817", "7", "4817",
)  # fmt: skip
STRUCTURE_SEARCH: Final = Work(
    "MosqueraLois2023", (_MOSQUERA, _KAVANAGH, _WALSH, _SCANLON),
    "Identifying the ground state structures of point defects in solids",
    _COMPUT_MATER, 2023, "10.1038/s41524-023-00973-1", "9", "25",
)  # fmt: skip
DOPED: Final = Work(
    "Kavanagh2024",
    (_KAVANAGH, "Squires, Alexander G.", "Nicolson, Adair", _MOSQUERA, _GANOSE, "Zhu, Bonan", "Brlec, Katarina",
     _WALSH, _SCANLON),
    "doped: Python toolkit for robust and repeatable charged defect supercell calculations",
    "Journal of Open Source Software", 2024, "10.21105/joss.06433", "9", "6433",
)  # fmt: skip
PYMATGEN: Final = Work(
    "Ong2013",
    ("Ong, Shyue Ping", "Richards, William Davidson", "Jain, Anubhav", "Hautier, Geoffroy", "Kocher, Michael",
     "Cholia, Shreyas", "Gunter, Dan", "Chevrier, Vincent L.", "Persson, Kristin A.", "Ceder, Gerbrand"),
    "Python Materials Genomics (pymatgen): A robust, open-source python library for materials analysis",
    "Computational Materials Science", 2013, "10.1016/j.commatsci.2012.10.028", "68", "314-319",
)  # fmt: skip
ASE: Final = Work(
    "HjorthLarsen2017",
    ("Hjorth Larsen, Ask", "Mortensen, Jens Jørgen", "Blomqvist, Jakob", "Castelli, Ivano E.", "others"),
    "The atomic simulation environment—a Python library for working with atoms",
    "Journal of Physics: Condensed Matter", 2017, "10.1088/1361-648X/aa680e", "29", "273002",
)  # fmt: skip
SPGLIB: Final = Work(
    "Togo2024", ("Togo, Atsushi", "Shinohara, Kohei", "Tanaka, Isao"),
    "Spglib: a software library for crystal symmetry search",
    "Science and Technology of Advanced Materials: Methods", 2024, "10.1080/27660400.2024.2384822", "4", "2384822",
)  # fmt: skip
SOAP: Final = Work(
    "Bartok2013", ("Bartók, Albert P.", "Kondor, Risi", "Csányi, Gábor"),
    "On representing chemical environments",
    "Physical Review B", 2013, "10.1103/PhysRevB.87.184115", "87", "184115",
)  # fmt: skip
DSCRIBE: Final = Work(
    "Himanen2020", ("Himanen, Lauri", "Jäger, Marc O. J.", "Morooka, Eiaki V.", "others"),
    "DScribe: Library of descriptors for machine learning in materials science",
    "Computer Physics Communications", 2020, "10.1016/j.cpc.2019.106949", "247", "106949",
)  # fmt: skip
FIRE: Final = Work(
    "Bitzek2006",
    ("Bitzek, Erik", "Koskinen, Pekka", "Gähler, Franz", "Moseler, Michael", "Gumbsch, Peter"),
    "Structural Relaxation Made Simple",
    "Physical Review Letters", 2006, "10.1103/PhysRevLett.97.170201", "97", "170201",
)  # fmt: skip
LBFGS: Final = Work(
    "Nocedal1980", ("Nocedal, Jorge",), "Updating quasi-Newton matrices with limited storage",
    "Mathematics of Computation", 1980, "10.1090/S0025-5718-1980-0572855-7", "35", "773-782",
)  # fmt: skip
GAUSSIAN_PROCESS: Final = Work(
    "GarijodelRio2019",
    ("Garijo del Río, Estefanía", "Mortensen, Jens Jørgen", "Jacobsen, Karsten Wedel"),
    "Local Bayesian optimizer for atomic structures",
    "Physical Review B", 2019, "10.1103/PhysRevB.100.104103", "100", "104103",
)  # fmt: skip
ADAM: Final = Work(
    "Kingma2014", ("Kingma, Diederik P.", "Ba, Jimmy"), "Adam: A Method for Stochastic Optimization",
    "arXiv", 2014, "10.48550/arXiv.1412.6980",
)  # fmt: skip
TORCH: Final = Work(
    "Paszke2019",
    ("Paszke, Adam", "Gross, Sam", "Massa, Francisco", "Lerer, Adam", "others"),
    "PyTorch: An Imperative Style, High-Performance Deep Learning Library",
    "Advances in Neural Information Processing Systems", 2019, "10.48550/arXiv.1912.01703", "32",
)  # fmt: skip
GFN1: Final = Work(
    "Grimme2017", ("Grimme, Stefan", "Bannwarth, Christoph", "Shushkov, Philip"),
    "A Robust and Accurate Tight-Binding Quantum Chemical Method for Structures, Vibrational Frequencies, and "
    "Noncovalent Interactions of Large Molecular Systems Parametrized for All spd-Block Elements (Z = 1–86)",
    _JCTC, 2017, "10.1021/acs.jctc.7b00118", "13", "1989-2009",
)  # fmt: skip
GFN2: Final = Work(
    "Bannwarth2019", ("Bannwarth, Christoph", "Ehlert, Sebastian", "Grimme, Stefan"),
    "GFN2-xTB—An Accurate and Broadly Parametrized Self-Consistent Tight-Binding Quantum Chemical Method with "
    "Multipole Electrostatics and Density-Dependent Dispersion Contributions",
    _JCTC, 2019, "10.1021/acs.jctc.8b01176", "15", "1652-1671",
)  # fmt: skip
TBLITE: Final = Work(
    "tblite", ("{The tblite developers}",), "tblite: Light-weight tight-binding framework",
    "https://github.com/tblite/tblite", 0,
)  # fmt: skip
VASP: Final = Work(
    "Kresse1996", ("Kresse, Georg", "Furthmüller, Jürgen"),
    "Efficient iterative schemes for ab initio total-energy calculations using a plane-wave basis set",
    "Physical Review B", 1996, "10.1103/PhysRevB.54.11169", "54", "11169-11186",
)  # fmt: skip
CP2K: Final = Work(
    "Kuehne2020", ("Kühne, Thomas D.", "Iannuzzi, Marcella", "Del Ben, Mauro", "Rybkin, Vladimir V.", "others"),
    "CP2K: An electronic structure and molecular dynamics software package - Quickstep: Efficient and accurate "
    "electronic structure calculations",
    "The Journal of Chemical Physics", 2020, "10.1063/5.0007045", "152", "194103",
)  # fmt: skip
ESPRESSO: Final = Work(
    "Giannozzi2017", ("Giannozzi, Paolo", "Andreussi, Oliviero", "Brumme, Thomas", "Bunau, Oana", "others"),
    "Advanced capabilities for materials modelling with Quantum ESPRESSO",
    "Journal of Physics: Condensed Matter", 2017, "10.1088/1361-648X/aa8f79", "29", "465901",
)  # fmt: skip
CHGNET: Final = Work(
    "Deng2023",
    ("Deng, Bowen", "Zhong, Peichen", "Jun, KyuJung", "Riebesell, Janosh", "Han, Kevin", "Bartel, Christopher J.",
     "Ceder, Gerbrand"),
    "CHGNet as a pretrained universal neural network potential for charge-informed atomistic modelling",
    "Nature Machine Intelligence", 2023, "10.1038/s42256-023-00716-3", "5", "1031-1041",
)  # fmt: skip
M3GNET: Final = Work(
    "Chen2022", ("Chen, Chi", "Ong, Shyue Ping"),
    "A universal graph deep learning interatomic potential for the periodic table",
    "Nature Computational Science", 2022, "10.1038/s43588-022-00349-3", "2", "718-728",
)  # fmt: skip
TENSORNET: Final = Work(
    "Simeon2023", ("Simeon, Guillem", "De Fabritiis, Gianni"),
    "TensorNet: Cartesian Tensor Representations for Efficient Learning of Molecular Potentials",
    "Advances in Neural Information Processing Systems", 2023, "10.48550/arXiv.2306.06482", "36",
)  # fmt: skip
MATGL: Final = Work(
    "Ko2025", ("Ko, Tsz Wai", "Deng, Bowen", "Nassar, Marcel", "Barroso-Luque, Luis", "others"),
    "Materials Graph Library (MatGL), an open-source graph deep learning library for materials science and chemistry",
    _COMPUT_MATER, 2025, "10.1038/s41524-025-01742-y", "11", "253",
)  # fmt: skip
SEVENNET: Final = Work(
    "Park2024", ("Park, Yutack", "Kim, Jaesun", "Hwang, Seungwoo", "Han, Seungwu"),
    "Scalable Parallel Algorithm for Graph Neural Network Interatomic Potentials in Molecular Dynamics Simulations",
    _JCTC, 2024, "10.1021/acs.jctc.4c00190", "20", "4857-4868",
)  # fmt: skip
MACE: Final = Work(
    "Batatia2022",
    ("Batatia, Ilyes", "Kovács, Dávid Péter", "Simm, Gregor N. C.", "Ortner, Christoph", "Csányi, Gábor"),
    "MACE: Higher Order Equivariant Message Passing Neural Networks for Fast and Accurate Force Fields",
    "arXiv", 2022, "10.48550/arXiv.2206.07697",
)  # fmt: skip
MACE_FOUNDATION: Final = Work(
    "Batatia2024", ("Batatia, Ilyes", "Benner, Philipp", "Chiang, Yuan", "others"),
    "A foundation model for atomistic materials chemistry",
    "arXiv", 2024, "10.48550/arXiv.2401.00096",
)  # fmt: skip
PRECONDITIONER: Final = Work(
    "Packwood2016",
    ("Packwood, David", "Kermode, James", "Mones, Letif", "Bernstein, Noam", "Woolley, John", "Gould, Nicholas",
     "Ortner, Christoph", "Csányi, Gábor"),
    "A universal preconditioner for simulating condensed phase materials",
    "The Journal of Chemical Physics", 2016, "10.1063/1.4947024", "144", "164109",
)  # fmt: skip
DAVIDSON: Final = Work(
    "Davidson1975", ("Davidson, Ernest R.",),
    "The iterative calculation of a few of the lowest eigenvalues and corresponding eigenvectors of large "
    "real-symmetric matrices",
    "Journal of Computational Physics", 1975, "10.1016/0021-9991(75)90065-0", "17", "87-94",
)  # fmt: skip
VEGARD: Final = Work(
    "Vegard1921", ("Vegard, Lars",),
    "Die Konstitution der Mischkristalle und die Raumfüllung der Atome",
    "Zeitschrift für Physik", 1921, "10.1007/BF01349680", "5", "17-26",
)  # fmt: skip
SQS: Final = Work(
    "Zunger1990", ("Zunger, Alex", "Wei, S.-H.", "Ferreira, L. G.", "Bernard, James E."),
    "Special quasirandom structures",
    "Physical Review Letters", 1990, "10.1103/PhysRevLett.65.353", "65", "353-356",
)  # fmt: skip
SQSGENERATOR: Final = Work(
    "Gehringer2023", ("Gehringer, Dominik", "Friák, Martin", "Holec, David"),
    "Models of configurationally-complex alloys made simple",
    "Computer Physics Communications", 2023, "10.1016/j.cpc.2023.108664", "286", "108664",
)  # fmt: skip

BY_DOI: Final = {
    work.doi: work for work in (GFN1, GFN2, CP2K, ESPRESSO, CHGNET, M3GNET, TENSORNET, SEVENNET, MACE, MACE_FOUNDATION)
}
"""Works that surrogates and references name by their DOI."""
