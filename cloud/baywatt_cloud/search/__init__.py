"""What is near and free."""
