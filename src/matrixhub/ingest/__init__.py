"""Taking readings in: authenticate, check, normalise once to the general data format, put on the stream."""

from matrixhub.ingest.accept import Acceptor, Receipt
from matrixhub.ingest.http import IngestApp
from matrixhub.ingest.registry import Registry

__all__ = ["Acceptor", "IngestApp", "Receipt", "Registry"]
