"""What `vidrive bench` measures: one module for each figure."""
