"""The pages on which sequences are read and steered, a part of campaigns: their edge alone stands here."""
