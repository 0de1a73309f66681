"""Workforce: seats, shifts, incidents and tasks."""
