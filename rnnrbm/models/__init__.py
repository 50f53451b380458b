"""Models by their published names."""
