"""Where clear is: directions from hazy to clear in an encoder's space, and the encoders."""
