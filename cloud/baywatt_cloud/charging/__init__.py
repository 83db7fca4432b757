"""Bookings, commands, sessions, live power: the calendar is the cloud's, the plug the site's."""
