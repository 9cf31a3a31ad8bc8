"""Adaptation to a user's own laboratory: a small head on a run's embedding, taught by a few answers, kept as a profile.

Runs stay as they are. A profile holds the head and the laboratory's scale; it is fitted in seconds with numpy and
scikit-learn, on the user's computer.
"""
