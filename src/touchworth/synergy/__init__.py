"""Synergy: which combinations do more than their parts."""
