"""`python -m baywatt_cloud` is `baywatt-cloud`."""

from __future__ import annotations

from baywatt_cloud.cli import main

main()
