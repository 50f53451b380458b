"""How graphs run: the engine, random numbers, several devices."""
