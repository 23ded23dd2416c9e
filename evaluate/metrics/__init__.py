"""Captions and references come in; numbers go out, a metric a file, Java behind child processes."""
