"""Past data leaving the hub, of whatever size: what it is written as, and how many do so at a time.

Source: docs/decisions/0026-exports.md
"""
