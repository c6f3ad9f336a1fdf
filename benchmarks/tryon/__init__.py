"""When a try-on does what it is told, and how well: arms trained side by side, or given models."""
