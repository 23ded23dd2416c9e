"""A name on the hub, a folder or a shape comes in; BART with its dense layer goes out."""
