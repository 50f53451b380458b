"""Reading and writing files. NumPy only."""
