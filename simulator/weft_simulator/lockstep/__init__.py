"""Lockstep fuzzing: random legal programs on several simulators, a model that arbitrates, small failures."""
