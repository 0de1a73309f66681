"""Who asks, and whether it may: what every request comes past, whichever face it is for.

Source: docs/contract/web-services.md §3
"""

from matrixhub.api.access.gate import Credentials, Gate

__all__ = ["Credentials", "Gate"]
