"""The published way, as it was published: what our way is measured against."""
