"""The schema's history; `migrate` brings a database to the newest revision."""
