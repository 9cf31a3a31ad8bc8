"""A user's own laboratory: its cells, what it teaches in a few answers, and the profile that keeps it.

Runs stay as they are. A profile holds a small head on a run's embedding, and the laboratory's scale; it is fitted in
seconds with numpy and scikit-learn, on the user's computer.
"""
