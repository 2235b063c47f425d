"""Files of other frameworks, read without them."""
