"""From the stream to the customer: what to send, when, to whom, and how far each subscription has come."""

from matrixhub.deliveries.runner import Worker, WorkerSettings

__all__ = ["Worker", "WorkerSettings"]
