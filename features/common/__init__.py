"""What every floor needs: errors, the console, downloads, published files. Knows no shard."""
