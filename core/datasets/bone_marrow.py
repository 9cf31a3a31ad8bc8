"""Bone marrow: single cells of 21 classes from marrow smears of people with blood diseases.

Matek et al. 2021, Blood 138(20):1917, https://doi.org/10.1182/blood.2020010568; images in the Cancer Imaging Archive,
'Bone-Marrow-Cytomorphology_MLL_Helmholtz_Fraunhofer'. A copy with some of the classes works and says how many.
"""

from core.datasets.base import AuxiliaryFor, CellClass
from core.datasets.folders import FolderLayout, register_folder, scan_layout

CLASSES = (
    CellClass(
        "ABE",
        "abnormal eosinophil",
        "An eosinophil whose granules are wrong in colour or size, often large and violet-brown, as in some leukaemias "
        "with inv(16); absent from healthy marrow.",
    ),
    CellClass(
        "ART",
        "artefact",
        "Not a cell that can be judged: stain precipitate, dirt, a scratch or smeared remains, kept as a class so that "
        "a model learns to set them apart.",
    ),
    CellClass(
        "BAS",
        "basophil",
        "A granulocyte full of coarse dark violet granules that cover its lobed nucleus; under 1 % of marrow cells.",
    ),
    CellClass(
        "BLA",
        "blast",
        "The least mature cell: 12 to 20 µm, a large nucleus with fine open chromatin and nucleoli, a narrow blue "
        "cytoplasm without granules or with few; up to 5 % in healthy marrow, 20 % or more in acute leukaemia.",
    ),
    CellClass(
        "EBO",
        "erythroblast",
        "A nucleated red precursor: a round nucleus, ever denser with age, in cytoplasm that turns from deep blue to "
        "grey and pink; about a quarter of marrow cells.",
    ),
    CellClass(
        "EOS",
        "eosinophil",
        "A granulocyte packed with round orange-red granules of one size, nucleus of two lobes or still round in the "
        "younger forms of the marrow; 1 to 5 %.",
    ),
    CellClass(
        "FGC",
        "faggot cell",
        "A leukaemic promyelocyte with bundles of Auer rods like a faggot of sticks, a sign of acute promyelocytic "
        "leukaemia; very rare.",
    ),
    CellClass(
        "HAC",
        "hairy cell",
        "A lymphoid cell with fine hair-like projections all around and an oval, even nucleus, as in hairy cell "
        "leukaemia.",
    ),
    CellClass(
        "KSC",
        "smudge cell",
        "The bare, smeared nucleus of a cell that burst while the smear was made, without cytoplasm; frequent in "
        "chronic lymphocytic leukaemia.",
    ),
    CellClass(
        "LYI",
        "immature lymphocyte",
        "A lymphoid cell with looser chromatin and more nucleus than a mature lymphocyte, on its way from the blast; "
        "rare in this collection.",
    ),
    CellClass(
        "LYT",
        "lymphocyte",
        "A small cell of 7 to 15 µm: a round, dense, clumped nucleus with a narrow clear blue rim; 5 to 20 % of marrow "
        "cells.",
    ),
    CellClass(
        "MMZ",
        "metamyelocyte",
        "A granulocyte precursor with a kidney-shaped nucleus, dense chromatin and pink cytoplasm with fine granules, "
        "between myelocyte and band.",
    ),
    CellClass(
        "MON",
        "monocyte",
        "A large cell with a folded or kidney-shaped nucleus of lacy chromatin and wide grey-blue cytoplasm, dusty and "
        "often with vacuoles; 1 to 3 % of marrow cells.",
    ),
    CellClass(
        "MYB",
        "myelocyte",
        "A granulocyte precursor with a round to oval nucleus set to one side and pink cytoplasm with its specific "
        "granules; about a tenth of marrow cells.",
    ),
    CellClass(
        "NGB",
        "band neutrophil",
        "A young neutrophil whose nucleus is a bent band of even width, not yet cut into lobes; pale pink cytoplasm "
        "with very fine granules.",
    ),
    CellClass(
        "NGS",
        "segmented neutrophil",
        "A mature neutrophil: two to five nuclear lobes joined by threads, pale pink cytoplasm, very fine granules.",
    ),
    CellClass(
        "NIF",
        "not identifiable",
        "A cell that the experts could not name: damaged, cut off, out of focus or between two stages; whatever a "
        "model says of it is a guess about their doubt.",
    ),
    CellClass(
        "OTH",
        "other cell",
        "A cell that belongs to none of the other classes, such as a megakaryocyte's part, a histiocyte or a tumour "
        "cell; rare.",
    ),
    CellClass(
        "PEB",
        "proerythroblast",
        "The youngest red precursor that can be told: large, a round nucleus with fine chromatin and nucleoli, deep "
        "blue cytoplasm with a pale zone beside the nucleus.",
    ),
    CellClass(
        "PLM",
        "plasma cell",
        "An oval cell with deep blue cytoplasm, a pale zone beside the nucleus and a round nucleus far to one side "
        "with clumped chromatin; up to 2 % in healthy marrow, many in myeloma.",
    ),
    CellClass(
        "PMO",
        "promyelocyte",
        "The largest granulocyte precursor: a round nucleus, often with nucleoli, and many coarse violet granules, "
        "some over the nucleus; up to 5 % of marrow cells.",
    ),
)
# What BloodMNIST calls the same; it joins the stages of granulocytes and of red precursors. Not the blasts and what is
# sick: it has no such cells. The crop is judged by eye: red cells are about .3 of the picture's side here, .37 there.
AUXILIARY_FOR = AuxiliaryFor(
    "bloodmnist",
    {
        "BAS": "BA",
        "EOS": "EO",
        "EBO": "ERB",
        "PEB": "ERB",
        "PMO": "IG",
        "MYB": "IG",
        "MMZ": "IG",
        "LYT": "LY",
        "MON": "MO",
        "NGB": "NE",
        "NGS": "NE",
    },
    crop=0.824,
)
register_folder(
    FolderLayout(
        name="bone_marrow",
        scan=lambda root: scan_layout(root, {cell.code: (cell.code,) for cell in CLASSES}),
        published=True,
    ),
    title="Bone marrow",
    summary="171,374 single cells of 21 classes from the bone marrow of 945 people with blood diseases.",
    classes=CLASSES,
    domain="single cells from bone-marrow smears of people with blood diseases, May Grünwald-Giemsa stain, 40x oil, "
    "Munich Leukemia Laboratory",
    licence="CC BY 4.0 (The Cancer Imaging Archive)",
    citation="Matek C. et al., Highly accurate differentiation of bone marrow cell morphologies using deep neural "
    "networks on a large image data set, Blood 138 (2021) 1917.",
    url="https://doi.org/10.7937/TCIA.AXH3-T579",
    auxiliary_for=AUXILIARY_FOR,
    cautions=(
        "No patient ids exist: cells of one person are in train and test, and patient leakage can't be excluded.",
        "'Not identifiable' holds cells that the experts could not name, many of which look like another class.",
    ),
)
