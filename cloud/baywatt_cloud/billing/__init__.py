"""From a finished session to a paid receipt: CDR, invoice, capture; each exactly once."""
