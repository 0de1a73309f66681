"""Past data: readings as they were pushed, and what they come to in buckets of time.

Source: docs/contract/past-data.md
"""
