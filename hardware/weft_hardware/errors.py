"""The base of every error that a user of Weft can cause."""


class WeftError(Exception):
    """Wrong input: the message names the subject, its value, the rule and the way out.

    Each layer derives its own class. The command line prints the message alone and exits with code 2.
    """


class ConfigError(WeftError):
    """A configuration that cannot be built, or a file that holds none."""


class IsaError(WeftError):
    """An instruction or micro-op that cannot be encoded or decoded."""
