"""The link to the safety board: framing, messages, host side."""
