"""Pairs of pictures: which there are, and the stream of batches made of them."""
