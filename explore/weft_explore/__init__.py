"""Exploration of accelerator parameters and schedules. Empty until there is something to explore."""
