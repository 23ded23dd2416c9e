"""A network and waveforms come in, rows go out: how networks are run, on a CPU and on a GPU."""
