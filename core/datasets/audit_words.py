"""An audit in words, for the terminal: copies and leakage, likely wrong labels, shortcuts and colours."""

from core.datasets.audit import Audit, Copies
from core.datasets.base import SPLITS, LoadedDataset
from core.evaluation.metrics import accuracy_interval

TOP = 10


def in_words(found: Audit, loaded: LoadedDataset) -> str:
    """The audit as lines of text."""
    split = loaded.spec.scheme(found.scheme) if loaded.spec.schemes else None
    way = f", {split.title}" if split and split.title not in found.provenance else ""
    head = [
        f"{loaded.spec.title}, {found.size} px, {found.provenance}{way}",
        f"{found.total:,} pictures: " + ", ".join(f"{s} {found.counts[s]:,}" for s in SPLITS)
        + f"; content {found.content_hash}; took {found.seconds:.0f} s ({found.cpu_seconds:.0f} s of the processor)",
    ]  # fmt: skip
    parts = [_copies(found), _suspects(found), _shortcuts(found), _colours(found)]
    return "\n".join([*head, *(line for part in parts for line in ("", *part))])


def _copies(found: Audit) -> list[str]:
    lines = ["Copies and leakage"]
    for identical, what in ((True, "are the same to the pixel"), (False, "are nearly the same")):
        groups = found.groups(identical=identical)
        across, conflict = (sum(getattr(c, name) for c in groups) for name in ("across", "conflict"))
        kind = "groups" if any(len(c.members) > 2 for c in groups) else "pairs"
        lines.append(f"  {len(groups)} {kind} {what}; {across} across splits, {conflict} with different labels")
    for split, leak in found.leaks.items():
        share, same = (100 * n / max(leak.n, 1) for n in (leak.any, leak.identical))
        lines.append(
            f"  leakage: {leak.any} of {leak.n:,} {split} pictures ({share:.2f} %) have a copy in train; "
            f"{leak.identical} ({same:.2f} %) an identical one"
        )
    shown = [c for c in found.copies if c.conflict or c.across]
    lines += [f"  {_named(c, found)}" for c in shown[:TOP]]
    if len(shown) > TOP:
        lines.append(f"  ... and {len(shown) - TOP} more across splits or with different labels (--json has all)")
    return lines


def _named(copies: Copies, found: Audit) -> str:
    members = " = ".join(f"{m.id} ({found.codes[m.label]}, {m.split})" for m in copies.members)
    kind = "identical" if copies.identical else f"likeness {copies.similarity:.3f}"
    return f"{members}  {kind}{'  DIFFERENT LABELS' if copies.conflict else ''}"


def _suspects(found: Audit) -> list[str]:
    share = 100 * found.doubts / max(found.total, 1)
    lines = [
        "Labels that are likely wrong",
        f"  {found.doubts:,} of {found.total:,} ({share:.1f} %) are doubted by a classifier that had not seen the "
        f"picture and is right on {100 * found.checker:.1f} %: most of them are its own mistakes, look at the first",
    ]
    for number, s in enumerate(found.suspects[:TOP], 1):
        lines.append(
            f"  {number:2}. {s.member.id} ({s.member.split}): labelled {found.codes[s.member.label]} "
            f"({_percent(s.given)}), looks like {found.codes[s.suggested]} ({_percent(s.other)})"
        )
    return lines


def _shortcuts(found: Audit) -> list[str]:
    scored = "val" if found.scored_on == "val" else "folds of train and val"
    lines = [f"Shortcuts: what a random forest reaches, scored on {scored} (95 % interval)"]
    wide = max(len(s.part.title) for s in found.shortcuts)
    lines.append(f"  {'Always the commonest class':<{max(wide, 26)}}  {100 * found.majority:5.1f} %")
    for s in found.shortcuts:
        low, high = accuracy_interval(s.right, s.n)
        lines.append(
            f"  {s.part.title:<{max(wide, 26)}}  {100 * s.accuracy:5.1f} %  ({100 * low:.1f} to {100 * high:.1f})"
        )
    return lines


def _colours(found: Audit) -> list[str]:
    lines = ["Colours by class: mean, and deviation between pictures, of red, green, blue (0 to 255)"]
    for code, mean, between in zip(found.codes, found.colours.mean, found.colours.between, strict=True):
        numbers = "  ".join(f"{m:6.1f} ± {d:4.1f}" for m, d in zip(mean, between, strict=True))
        lines.append(f"  {code:<4} {numbers}")
    return lines


def _percent(probability: float) -> str:
    """As `core.serving.wording.percent`, which this layer can't reach."""
    return "< 1 %" if probability < 0.01 else "> 99 %" if probability > 0.99 else f"{100 * probability:.0f} %"
