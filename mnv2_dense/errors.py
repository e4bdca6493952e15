"""The one exception that stands for a user's mistake."""


class UserError(Exception):
    """A mistake in what the user gave: a config, a file, a data set, a checkpoint.

    The message is one clear statement: what was given, what is allowed, what to do. Every
    command prints it without a traceback and exits with code 2.
    """
