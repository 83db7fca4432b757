"""The cloud: reservations, sessions, bills, pages."""
