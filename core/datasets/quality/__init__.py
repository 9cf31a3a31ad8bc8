"""How far a data set can be trusted: near duplicates, label issues, and the audit, which tells of both and more."""
