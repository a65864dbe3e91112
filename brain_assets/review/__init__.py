"""The review page: look at what was found, say what is so."""

from brain_assets.review.app import create_app, link, serve
from brain_assets.review.events import Decision, Event, Events, TagState, standing

__all__ = ["Decision", "Event", "Events", "TagState", "create_app", "link", "serve", "standing"]
