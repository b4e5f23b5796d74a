"""The editor's pages, a part of authoring: its edge alone stands here, its words stand beside those of uploads."""
