"""Workforce: seats, shifts, availability, incidents and tasks, and what becomes of them as time passes."""
