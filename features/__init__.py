"""The ground floor: the shard format, its writer, reader and checks, and what every floor needs."""
