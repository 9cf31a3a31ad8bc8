"""One module a shell command; each has ``add_parser(subparsers)`` and is found by `core.cli`."""
