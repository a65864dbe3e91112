"""The review page: look at what was found, say what is so."""

from typing import TYPE_CHECKING, Any

from brain_assets.resources.store.events import Decision, Event, Events, Said, TagState, standing

if TYPE_CHECKING:
    from brain_assets.review.app import create_app, link, serve

__all__ = ["Decision", "Event", "Events", "Said", "TagState", "create_app", "link", "serve", "standing"]


def __getattr__(name: str) -> Any:
    """Import the page only where it is asked for: the pipeline and its sensors read what was said, and serve nothing."""
    if name not in {"create_app", "link", "serve"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from brain_assets.review import app

    return getattr(app, name)
