"""`python -m baywatt_edge.cli`."""

from baywatt_edge.cli import main

main()
