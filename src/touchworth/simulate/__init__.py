"""Data with a known truth: simulated sessions and journeys, and the scoring of models against them."""
