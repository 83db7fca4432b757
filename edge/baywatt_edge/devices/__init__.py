"""Profiles in, observations out: one owner per bus, drivers as pure cores, devices as data."""
