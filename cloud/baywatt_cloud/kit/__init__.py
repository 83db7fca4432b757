"""What every module of the cloud stands on: settings, database, errors, identity, domain events."""
