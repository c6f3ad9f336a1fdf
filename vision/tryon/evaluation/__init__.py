"""How well a try-on does what it was told, and when: made clips against the studio's exact truth."""
