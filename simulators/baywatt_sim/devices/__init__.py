"""Simulated devices: each shows the physical truth (`baywatt_sim.world`) by its own registers."""
