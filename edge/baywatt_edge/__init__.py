"""The site controller's daemon and the installer's command line."""

__version__ = "0.1.0"
