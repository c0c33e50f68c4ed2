"""Journeys: from encoded rows to small mergeable counts."""
