"""Checklists: items of a list that begin with [ ] or [x] get a box, as in GitHub's Markdown.

mdit-py-plugins has this too, but looks for each item's list from the item back to where the list began, so a list of some
thousand items takes minutes.
"""

import re

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

BOX = re.compile(r"\[([ xX])\](?=\s)")
LISTS = {"bullet_list", "ordered_list"}


def checklist_plugin(reader: MarkdownIt) -> None:
    """Have a reader know checklists."""
    reader.core.ruler.after("inline", "checklists", _mark)


def _mark(state: StateCore) -> None:
    """Put a box and a label into each such item, and mark the item and its list."""
    lists: list[Token] = []
    for place, token in enumerate(state.tokens):
        name, _underscore, end = token.type.rpartition("_")
        if name in LISTS and end == "open":
            lists.append(token)
        elif name in LISTS:
            lists.pop()
        elif token.type == "inline" and place > 1 and state.tokens[place - 2].type == "list_item_open" and _put_box(token):
            state.tokens[place - 2].attrSet("class", "task-list-item")
            lists[-1].attrSet("class", "contains-task-list")


def _put_box(token: Token) -> bool:
    first = (token.children or [Token("", "", 0)])[0]
    found = BOX.match(first.content) if first.type == "text" else None
    if found is None or token.children is None:
        return False
    is_checked = 'checked="checked" ' if found[1] != " " else ""
    first.content, token.content = first.content[3:], token.content[3:]
    box = f'<input class="task-list-item-checkbox" {is_checked}disabled="disabled" type="checkbox">'
    token.children = [_written("<label>"), _written(box), *token.children, _written("</label>")]
    return True


def _written(html: str) -> Token:
    return Token("html_inline", "", 0, content=html)
