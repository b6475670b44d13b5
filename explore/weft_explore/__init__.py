"""Exploration of accelerator parameters and schedules."""
