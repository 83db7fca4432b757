"""Drivers: one pure state machine per kind of device, fed by its profile."""
