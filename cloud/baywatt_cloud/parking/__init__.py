"""Bays: which are free, and booking one without a plug."""
