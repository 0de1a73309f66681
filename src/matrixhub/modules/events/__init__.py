"""What applications of third parties do on the bus: they are registered, and publish events in their own name."""

from matrixhub.modules.events.applications import change_application, register_application, revoke
from matrixhub.modules.events.log import export_events
from matrixhub.modules.events.publish import publish_events

__all__ = ["change_application", "export_events", "publish_events", "register_application", "revoke"]
