"""Table 1 of Boulanger-Lewandowski et al. 2012: its configurations, and the commands that reproduce it."""
