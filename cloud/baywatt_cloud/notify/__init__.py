"""Telling people: an outbox of e-mails that is never lost."""
