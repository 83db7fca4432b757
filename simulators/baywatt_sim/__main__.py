"""`python -m baywatt_sim`."""

from baywatt_sim.cli import main

main()
