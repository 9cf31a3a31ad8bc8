"""One sentence on how cells of other laboratories are read, before and after teaching."""

from dashboard.lab import base_run


def elsewhere_line(dataset: str) -> str:
    """How cells of other laboratories are read before and after teaching; '' where nobody measured it."""
    taught = base_run(dataset)
    found = taught.elsewhere() if taught else []
    if not found:
        return ""
    before, after = ([entry[stage] for entry in found] for stage in ("before", "after"))
    return (
        f"In {len(found)} laboratories that no training saw, {min(before):.0%} to {max(before):.0%} of the white cells "
        f"of a usual differential were named rightly among the classes that occur there; after "
        f"{found[0]['answers']} answers on the page Your lab, {min(after):.0%} to {max(after):.0%} of the others."
    )
