"""Where pushes go: one module per kind of destination, each behind the port `Sender`."""
