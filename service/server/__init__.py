"""The server process: sockets, signals, start and stop."""
