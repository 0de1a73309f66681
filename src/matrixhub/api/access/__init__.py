"""Who asks, and whether it may: what every request comes past, whichever face it is for.

Source: docs/contract/web-services.md §3
"""

from matrixhub.api.access.credentials import Credentials
from matrixhub.api.access.gate import Gate

__all__ = ["Credentials", "Gate"]
