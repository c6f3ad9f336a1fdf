"""Haze that is made: scenes with depth, and the scattering model that fogs them."""
