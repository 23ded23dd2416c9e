"""Errors that end a command in one clear line.

A message says which file, what was found, what was expected, and what to do next.
"""

DONE = 0
SOME_CLIPS_FAILED = 1
COULD_NOT_RUN = 2
INTERRUPTED = 130  # 128 + SIGINT, what shells expect


def first_line(error: BaseException) -> str:
    """What a library's error says, for a message of one line; its kind if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class TagbartError(Exception):
    """The command cannot go on: one line on stderr, exit code 2."""


class ConfigError(TagbartError):
    """A setting, recipe or option is not valid."""


class DumpError(TagbartError):
    """A dump folder or captions file cannot be used."""


class FormatError(TagbartError):
    """A features folder or shard breaks the format, or is of a version we do not know."""


class WeightsError(TagbartError):
    """A weights file is absent, or holds other tensors than its network."""


class RunError(TagbartError):
    """A run folder cannot be used as asked."""


class ClipError(TagbartError):
    """One clip cannot be used. Survivable: the clip lands in failures.csv and the run goes on."""
