"""Image files that nobody here made: decoded, refused or resized. Builds on no other package."""
