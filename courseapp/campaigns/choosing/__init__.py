"""The pages of segments, a part of campaigns: their edge alone stands here, their words stand beside those of sequences."""
