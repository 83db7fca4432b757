"""The link to the safety board: frames, messages and both ends as sans-I/O state machines.

`PROTOCOL.md` beside this package specifies it for board makers. `host.HostLink` is the
controller's end, `board_core.BoardCore` the model of a board. Imports none of the other parts.
"""
