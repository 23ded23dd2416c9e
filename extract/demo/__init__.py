"""A seed comes in; a synthetic dump goes out, and the small networks that hear it."""
