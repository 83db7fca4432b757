"""The demo: a site, its cloud and CSMS as real processes, a driver, and a check of the books."""
