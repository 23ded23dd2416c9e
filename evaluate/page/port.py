"""Where the page listens: looked at before anything is loaded, so a taken port is told at once."""

import errno
import socket

from features.common.errors import ConfigError

HOST = "127.0.0.1"


def check_port(port: int) -> None:
    """Find out before anything is loaded whether the port is free.

    Raises:
        ConfigError: if it is not, or may not be used.
    """
    try:
        with socket.socket() as probe:
            # As the server will: a port that an earlier page has just left is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "is taken by another program" if taken else f"cannot be used ({error.strerror})"
        raise ConfigError(f"port {port} {why}; name another one, e.g. --port {port + 1}") from error
