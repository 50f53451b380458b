"""Pages of HTML that show runs: one run, or several beside each other."""
