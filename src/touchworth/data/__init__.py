"""Data that ships with touchworth: a small simulated event log (journeys.csv.gz)."""
