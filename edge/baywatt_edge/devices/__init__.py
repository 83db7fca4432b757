"""Bus owners and device drivers: bytes to observations, control targets to bytes."""
