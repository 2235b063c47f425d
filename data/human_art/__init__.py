"""Human-Art: pictures of people in twenty scenarios, several people a picture, with their poses."""
