"""Schedules, sensors, freshness and alerts."""
