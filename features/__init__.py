"""The ground floor: the shard format, its writer, reader and checks. Numpy and h5py only."""
