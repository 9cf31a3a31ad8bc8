"""HemaLens core: blood-cell images in, trained runs and answers out."""

__version__ = "0.1.0"
