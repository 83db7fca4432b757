"""ISO 15118, the charger's side."""
