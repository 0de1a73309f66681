"""The durable streams on NATS JetStream, behind the port `Bus`."""

from matrixhub.bus.nats import NatsBus, StreamSettings, open_bus, open_buses

__all__ = ["NatsBus", "StreamSettings", "open_bus", "open_buses"]
