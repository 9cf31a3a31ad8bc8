"""One script a question: ``python -m benchmarks.NAME`` prints a table and writes JSON to benchmarks/results."""
