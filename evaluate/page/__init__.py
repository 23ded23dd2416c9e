"""A run comes in; a web page goes out that captions the sounds given to it."""
