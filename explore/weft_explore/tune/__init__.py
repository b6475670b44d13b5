"""Schedules of layers: which there are, what they take, and which of them are best."""
