"""From a raw video to the conditions of a try-on: estimates, tracks, masks, actions."""
