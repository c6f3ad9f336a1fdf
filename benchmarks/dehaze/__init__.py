"""What an adapter does to real hazy photographs, and what it costs."""
