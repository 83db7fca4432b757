"""Wires: every simulated device answers on a real transport, never by a call into the daemon.

A Modbus RTU line with two meters on a pty that any serial client may open and reopen:

    line = LineCore(pace=Pace(19_200))
    grid = RtuSlave(1, registers)                   # registers: a RegisterModel
    line.attach(grid, link := Link(baudrate=19_200))
    line.attach(RtuSlave(11, other), Link(baudrate=19_200))
    hub = PtyHub(Path("run/meters"), line)          # `run/meters` becomes a link to a pty
    hub.open()                                      # inside a running event loop
    link.up, link.garble = False, 0.01              # break it as you like
    hub.close()

The same slaves behind TCP: `ModbusTcpServer({1: registers}).start("127.0.0.1", 15020)`.
CAN: `hub = SocketcandHub(); await hub.start("127.0.0.1", 15290)`, then python-can's interface
"socketcand" on any number of clients, and `hub.attach(node)` for simulated nodes.

`LineCore` and `RtuSlave` are sans-I/O (time is an argument); `PtyHub` is the only shell of a line.
"""
