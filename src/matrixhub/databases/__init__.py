"""Customers' databases: what stands in them, how it gets there, and what has to be right before.

Nothing here knows the hub's own tables. Source: docs/contract/dedicated-db.md, docs/decisions/0021-databases.md
"""
