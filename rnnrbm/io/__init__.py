"""Reading and writing files, and sound. NumPy and SciPy only."""
