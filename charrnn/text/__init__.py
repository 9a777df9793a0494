"""From any text to ids: found, unpacked, decoded, counted, and encoded in bounded memory."""
