"""What can be learnt: owns courses, modules, lessons, revisions, assets, printed copies; renders and typesets Markdown.

May ask accounts and below. Never knows who learns.
"""
