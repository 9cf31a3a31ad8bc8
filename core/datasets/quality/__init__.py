"""How far a data set can be trusted: near duplicates and leakage, label issues, shortcuts, and the audit of all three."""
