"""People, roles, access tokens and the RFID cards they hold."""
