"""OCPP 1.6J, the charge point's side."""
