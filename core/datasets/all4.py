"""ALL, four classes: microscope fields of blood smears, benign or with acute lymphoblastic leukaemia.

Aria et al. 2021, 'Acute Lymphoblastic Leukemia (ALL) image dataset', Kaggle; Ghaderzadeh et al. 2022,
https://doi.org/10.1002/int.22753. Both of Kaggle's layouts are read: ``Original/Benign|Early|Pre|Pro`` (224 px) and
the four folders ``Benign``, ``[Malignant] Early Pre-B`` ... (1024 x 768 px) hold the same pictures.
"""

from core.datasets.base import CellClass
from core.datasets.folders import FolderLayout, register_folder, scan_layout

LAYOUT = {
    "BEN": ("Benign",),
    "EPB": ("Early", "[Malignant] Early Pre-B", "Malignant Early Pre-B"),
    "PRE": ("Pre", "[Malignant] Pre-B", "Malignant Pre-B"),
    "PRO": ("Pro", "[Malignant] Pro-B", "Malignant Pro-B"),
}
CLASSES = (
    CellClass(
        "BEN",
        "benign (haematogones)",
        "Fields of healthy B-cell precursors, haematogones: small round cells with dense, even chromatin and hardly "
        "any cytoplasm, which resemble leukaemic blasts and are none.",
    ),
    CellClass(
        "EPB",
        "early pre-B ALL",
        "Fields with blasts of early pre-B acute lymphoblastic leukaemia: medium to large, a high share of nucleus, "
        "open chromatin, a narrow blue rim; CD19+, CD10+ by flow cytometry, without which the stage can't be told.",
    ),
    CellClass(
        "PRE",
        "pre-B ALL",
        "Fields with blasts of pre-B acute lymphoblastic leukaemia, often crowded: round nuclei with fine chromatin "
        "and scant cytoplasm; defined by mu chains in the cytoplasm, not by its look.",
    ),
    CellClass(
        "PRO",
        "pro-B ALL",
        "Fields with blasts of pro-B acute lymphoblastic leukaemia, the least mature stage: CD10-, large nuclei with "
        "loose chromatin; the stage was set by flow cytometry, not by the picture.",
    ),
)
register_folder(
    FolderLayout(
        name="all4",
        # Kaggle delivers the same fields a second time with all but the blasts painted black.
        scan=lambda root: scan_layout(root, LAYOUT, excluded=("Segmented",)),
        # 3,256 fields of 89 patients: about 37 of a patient follow each other.
        series=40,
    ),
    title="ALL, four classes",
    summary="3,256 microscope fields of 89 people suspected of acute lymphoblastic leukaemia: benign and three stages.",
    classes=CLASSES,
    domain="whole microscope fields (100x) with several cells each, from blood smears of one laboratory in Tehran, "
    "Taleqani Hospital, one microscope camera",
    licence="free for research with citation (Kaggle: 'Blood Cells Cancer (ALL)', 'Leukemia')",
    citation="Aria M. et al., Acute Lymphoblastic Leukemia (ALL) image dataset, Kaggle 2021; Ghaderzadeh M. et al., "
    "A fast and efficient CNN model for B-ALL diagnosis and its subtypes classification using peripheral blood smear "
    "images, International Journal of Intelligent Systems 37 (2022) 5113.",
    url="https://www.kaggle.com/datasets/mehradaria/leukemia",
    unit="field",
    stretched=True,
    cautions=(
        "Each picture is a whole microscope field with several cells, not a cell.",
        "No patient ids exist: patient leakage can't be excluded. The grouped split keeps likenesses and runs of 40 "
        "fields that follow each other by file number together, which stands in for slides.",
        "The classes differ by slide and stain: six numbers (mean and deviation of red, green and blue) tell 95 % of "
        "randomly split pictures apart without a look at any cell.",
    ),
)
