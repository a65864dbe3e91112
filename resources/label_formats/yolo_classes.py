"""What YOLO's classifiers write of an image each: a line for each class, with how sure it is before the name."""

from brain_assets.resources.label_formats.annotations import Annotations, Unusable, confidence_fault, number_of
from brain_assets.resources.label_formats.content import Content


class YoloClasses:
    """The surest class of each image."""

    name = "yolo-classes"
    title = "YOLO classify results"
    suffixes = frozenset({".txt"})
    per_image = True

    def sniff(self, content: Content) -> bool:
        """Tell whether each line is a part of 1 and a name; a number among its words would be of a box."""
        lines = [line.split() for line in content.text.splitlines() if line.strip()]
        return bool(lines) and all(map(_is_class, lines))

    def read(self, content: Content) -> Annotations:
        """Return the class with the highest score."""
        found, best = Annotations(), dict[str, float]()
        found.each(enumerate(content.text.splitlines(), 1), lambda _, line: best.update(_scored(line)))
        if best:
            label = max(best, key=best.__getitem__)
            found.add_label(1, content.path.stem, [label], best[label])
        return found


def _is_class(words: list[str]) -> bool:
    score, *name = words
    sure = "." in score and number_of(score) is not None and 0 <= float(score) <= 1
    return sure and bool(name) and all(number_of(word) is None for word in name)


def _scored(line: str) -> dict[str, float]:
    score, _, name = line.strip().partition(" ")
    if not line.strip():
        return {}
    if not name:
        raise Unusable("no_label", "no class behind its score")
    if fault := confidence_fault(number_of(score), needed=True):
        raise Unusable(*fault)
    return {name.strip(): float(score)}
