"""The cloud's ear: what sites say becomes rows, exactly once and in order, then is acknowledged."""
