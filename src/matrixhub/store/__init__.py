"""PostgreSQL behind functions: sites, keys, subscriptions and their leases. Every read is scoped to its tenant."""

from matrixhub.store.pool import Database, open_database

__all__ = ["Database", "open_database"]
