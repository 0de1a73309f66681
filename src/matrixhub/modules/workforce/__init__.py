"""Workforce: seats and what they work; shifts, availability, timesheets, settings."""
