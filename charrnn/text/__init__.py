"""From texts to ids: finding, unpacking, decoding, counting and encoding them in bounded memory."""
