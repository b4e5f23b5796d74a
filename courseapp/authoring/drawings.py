"""Drawings (SVG): what could do more than draw is refused in words; what is kept is written anew, from lists of what a drawing may hold.

Two nets, on purpose. The first names what is wrong to whoever made the drawing. The second builds a new document of known
elements and attributes alone, so what the first does not know of does not get through either. Nothing here asks the network:
a document type, and with it every entity, is refused before the parser sees it.
"""

import re
from xml.etree import ElementTree

from courseapp.authoring.report import Report

SVG_NAMESPACE = "{http://www.w3.org/2000/svg}"
XLINK_HREF = "{http://www.w3.org/1999/xlink}href"
XHTML_NAMESPACE = "{http://www.w3.org/1999/xhtml"
ACTIVE = {"script", "foreignObject", "iframe", "image", "feImage", "animate", "animateColor", "animateMotion", "animateTransform", "set"}
ACTIVE |= {"handler", "listener", "audio", "video", "canvas", "cursor", "font-face-uri"}
DEEPEST = 64  # elements in elements; drawing programs nest a dozen
WIDEST = 100_000  # units of a viewBox
MOST_DRAWN = 50_000  # elements, with what <use> repeats counted as often as it is drawn

ELEMENTS = {
    *("svg", "g", "defs", "symbol", "use", "title", "desc", "style", "switch", "a"),
    *("path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan", "textPath"),
    *("linearGradient", "radialGradient", "stop", "clipPath", "mask", "pattern", "marker", "filter"),
    *("feBlend", "feColorMatrix", "feComponentTransfer", "feComposite", "feFlood", "feFuncA", "feFuncB", "feFuncG", "feFuncR"),
    *("feGaussianBlur", "feMerge", "feMergeNode", "feMorphology", "feOffset", "feDropShadow"),
}
WORDS = {"id", "class", "role", "lang", "aria-label", "aria-labelledby", "aria-describedby", "aria-hidden", "viewBox", "version"}
ATTRIBUTES = {
    *WORDS,
    *("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "ry", "fx", "fy", "fr", "dx", "dy", "width", "height", "d", "points"),
    *("transform", "pathLength", "preserveAspectRatio", "style", "href", "offset", "rotate", "textLength", "lengthAdjust", "startOffset"),
    *("gradientUnits", "gradientTransform", "spreadMethod", "clipPathUnits", "maskUnits", "maskContentUnits", "method", "spacing"),
    *("patternUnits", "patternContentUnits", "patternTransform", "filterUnits", "primitiveUnits", "orient", "refX", "refY"),
    *("markerWidth", "markerHeight", "markerUnits", "in", "in2", "result", "stdDeviation", "mode", "operator", "k1", "k2", "k3", "k4"),
    *("type", "values", "radius", "tableValues", "slope", "intercept", "amplitude", "exponent"),
    *("fill", "fill-opacity", "fill-rule", "stroke", "stroke-width", "stroke-opacity", "stroke-linecap", "stroke-linejoin"),
    *("stroke-miterlimit", "stroke-dasharray", "stroke-dashoffset", "opacity", "color", "display", "visibility", "overflow"),
    *("clip-path", "clip-rule", "mask", "filter", "marker-start", "marker-mid", "marker-end", "paint-order", "vector-effect"),
    *("stop-color", "stop-opacity", "flood-color", "flood-opacity", "color-interpolation", "color-interpolation-filters"),
    *("font-family", "font-size", "font-style", "font-weight", "font-variant", "font-stretch", "letter-spacing", "word-spacing"),
    *("text-anchor", "text-decoration", "dominant-baseline", "alignment-baseline", "baseline-shift", "writing-mode", "direction"),
    *("shape-rendering", "text-rendering", "mix-blend-mode", "isolation"),
}

CALL = re.compile(r"(?<![\w-])([\w-]+)\(")  # from its first letter alone, or a long word would be looked at once for each of its letters
LOCAL = re.compile(r"url\(\s*(?:[\"']\s*)?#[^\"')(]*(?:[\"']\s*)?\)", re.IGNORECASE)
# what a style or a value may call; what loads (url, src, image-set, element, …) is not among them, whatever is yet invented
CALLS = {"rgb", "rgba", "hsl", "hsla", "var", "calc", "min", "max", "clamp", "not", "and", "or", "is", "where", "nth-child", "nth-of-type"}
CALLS |= {"matrix", "translate", "translatex", "translatey", "scale", "scalex", "scaley", "rotate", "skewx", "skewy"}
AT_RULE = re.compile(r"@(?!media\b)[\w-]*", re.IGNORECASE)


class UnsafeDrawing(Exception):
    """The drawing holds something that can do more than draw: its name."""


def clean_svg(content: bytes, path: str, report: Report) -> tuple[bytes, int | None, int | None] | None:
    """A drawing written anew and its size in pixels; None, with the reason reported, where it may not come in."""
    root = _read(content, path, report)
    if root is None:
        return None
    try:
        if b"<?xml-stylesheet" in content:
            raise UnsafeDrawing("xml-stylesheet")
        _refuse_active(root)
        left_out: set[str] = set()
        clean = _rewritten(root, 0, left_out)
        _refuse_repeating(clean)
    except UnsafeDrawing as found:
        words = f"The drawing holds “{found}”, which can do more than draw."
        mend = "Remove scripts, links, embedded pictures, animations, and styles from elsewhere."
        report.error("svg_active", path, 0, words, mend)
        return None
    if left_out:
        report.note("svg_trimmed", path, 0, f"Left out, for it draws nothing: {', '.join(sorted(left_out)[:8])}.", "")
    width, height = _size_of(root, path, report)
    clean.attrib = {"xmlns": SVG_NAMESPACE.strip("{}"), **clean.attrib}
    return ElementTree.tostring(clean, encoding="utf-8"), width, height


def _read(content: bytes, path: str, report: Report) -> ElementTree.Element | None:
    declared = re.match(rb"(?:\xef\xbb\xbf)?\s*<\?xml[^>]*?encoding\s*=\s*[\"']([^\"']*)", content)
    if not _is_utf8(content) or (declared and declared[1].lower() not in {b"utf-8", b"us-ascii"}):
        # another encoding could hide from the searches below what a browser would find
        report.error("svg_broken", path, 0, "The drawing is not UTF-8 text.", "Save it again as a plain SVG, in UTF-8.")
        return None
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        report.error("svg_doctype", path, 0, "The drawing declares entities.", "Save it as a plain SVG, without a document type.")
        return None
    try:
        root = ElementTree.fromstring(content)  # noqa: S314  # entities and document types were refused above
    except ElementTree.ParseError as error:
        mend = "Save it again from your drawing program."
        report.error("svg_broken", path, error.position[0], f"The drawing cannot be read: {error}.", mend)
        return None
    if _is_deep(root):
        report.error("svg_broken", path, 0, f"The drawing nests its parts more than {DEEPEST} deep.", "Ungroup it in your drawing program.")
        return None
    return root


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_deep(root: ElementTree.Element) -> bool:
    level = [root]
    for _depth in range(DEEPEST):
        level = [child for element in level for child in element]
        if not level:
            return False
    return True


def _refuse_active(root: ElementTree.Element) -> None:
    if root.tag != f"{SVG_NAMESPACE}svg":
        raise UnsafeDrawing(str(root.tag).rpartition("}")[2])
    for element in root.iter():
        namespace, _brace, name = str(element.tag).rpartition("}")
        if name in ACTIVE or namespace == XHTML_NAMESPACE:
            raise UnsafeDrawing(name)
        if name == "style":
            _refuse_loading("style", "".join(element.itertext()))
        if namespace and f"{namespace}}}" != SVG_NAMESPACE:
            continue  # what a drawing program notes for itself; it is left out
        for key, value in element.attrib.items():
            attribute = key.rpartition("}")[2]
            is_link = attribute == "href" and not value.startswith("#")
            if attribute.lower().startswith("on") or is_link:
                raise UnsafeDrawing(attribute)
            if attribute not in WORDS and key.partition("}")[0] in {key, "{http://www.w3.org/1999/xlink"}:
                _refuse_loading(attribute, value)


def _refuse_loading(where: str, style: str) -> None:
    """Refuse a style or value that could load anything: only calls that are known, and url() only of the drawing's own parts."""
    has_escape = "\\" in style  # a letter may be written by its number: u\72l(…)
    calls = {call.lower() for call in CALL.findall(LOCAL.sub(" ", style))}
    # comments are looked through too: where one begins is for a browser to say (content: "/*")
    if has_escape or calls - CALLS or (where == "style" and AT_RULE.search(style)):
        raise UnsafeDrawing(where)


def _rewritten(element: ElementTree.Element, depth: int, left_out: set[str]) -> ElementTree.Element:
    clean = ElementTree.Element(str(element.tag).removeprefix(SVG_NAMESPACE))
    for key, value in element.attrib.items():
        name = "href" if key == XLINK_HREF else key
        if name in ATTRIBUTES:
            clean.set(name, value)
        elif "}" not in name:
            left_out.add(name)
    clean.text, clean.tail = element.text, element.tail
    for child in element:
        name = str(child.tag).removeprefix(SVG_NAMESPACE)
        if name in ELEMENTS:
            clean.append(_rewritten(child, depth + 1, left_out))
        else:
            left_out.add(name.rpartition("}")[2])
            _keep_tail(clean, child.tail)
    return clean


def _keep_tail(clean: ElementTree.Element, tail: str | None) -> None:
    """The words behind an element that is left out stay."""
    if len(clean):
        clean[-1].tail = (clean[-1].tail or "") + (tail or "")
    else:
        clean.text = (clean.text or "") + (tail or "")


def _refuse_repeating(root: ElementTree.Element) -> None:
    """A dozen <use> of one another, ten times each, would draw a billion shapes and hang whoever shows them."""
    by_id = {element.get("id"): element for element in root.iter() if element.get("id")}
    counts: dict[ElementTree.Element, int] = {}
    open_: set[ElementTree.Element] = set()

    def drawn(element: ElementTree.Element, depth: int) -> int:
        if element in open_ or depth > 4 * DEEPEST:
            raise UnsafeDrawing("use")
        if element not in counts:
            open_.add(element)
            target = by_id.get((element.get("href") or "").removeprefix("#")) if element.tag == "use" else None
            parts = [*element, *([target] if target is not None else [])]
            counts[element] = 1 + sum(drawn(part, depth + 1) for part in parts)
            open_.discard(element)
        return counts[element]

    if drawn(root, 0) > MOST_DRAWN:
        raise UnsafeDrawing("use")


def _size_of(root: ElementTree.Element, path: str, report: Report) -> tuple[int | None, int | None]:
    try:
        _left, _top, *size = (float(number) for number in (root.get("viewBox") or "").replace(",", " ").split())
        width, height = (round(number) for number in size)
        if not (0 < width <= WIDEST and 0 < height <= WIDEST):
            raise ValueError("no size")
        return width, height
    except (ValueError, OverflowError):  # OverflowError: inf
        report.warn("svg_size", path, 0, "The drawing has no viewBox, so it cannot be scaled.", 'Add viewBox="0 0 width height".')
        return None, None
