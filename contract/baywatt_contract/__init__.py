"""What edge and cloud agree on: site file, events, commands, topics, money and tariffs.

Imports none of the other parts, so each of them can be built and tested against it alone.
"""
