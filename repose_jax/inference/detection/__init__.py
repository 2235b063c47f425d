"""From a photo to the poses of its people: what finds them, and which of them is taken."""
