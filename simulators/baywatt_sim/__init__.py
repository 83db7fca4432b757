"""Simulated devices, cars, CSMS, whole sites and the demo."""
