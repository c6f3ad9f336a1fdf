"""What the studio draws: figure, sleeves, cloth, prints and motion, with the exact truth of each frame."""
